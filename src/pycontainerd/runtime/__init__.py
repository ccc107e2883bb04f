"""Shims: the processes that hold containers, from the daemon's side.

Words: a *runtime* is a name or a path that leads to a shim's executable (`discovery`); a *bundle* is the directory of
one task (`bundle`); to *start* a shim is to get a process that serves the task API, and its address (`spawned` for our
own, `executable` for any other); a *shim* is a bundle with a connection to such a process (`shim`); the *manager* knows
all shims of the daemon, cleans up after those that die, and finds them again after a restart (`recovery`).
"""
