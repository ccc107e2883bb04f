"""The task monitor: what the control groups of tasks count, as metrics for Prometheus.

A *figure* is one number of a task, under a name and with labels; names and help texts are those of the original.
Nothing is counted until somebody asks: then every task is asked through its shim. OOM kills are told by the shims.
"""
