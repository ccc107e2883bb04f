"""What `run`, `containers create` and `tasks start` have in common: making a container's record and running
its task.

`flags` declares, `spec_steps` builds the runtime spec in the original's order, `record` makes snapshot and
record, `stdio` carries bytes between here and the container, `attending` waits for its end.
"""
