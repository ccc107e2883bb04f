"""The life of the daemon's process: what it makes before its plugins start, how it is told to stop, what it tells.

Called by the command `containerd`. On disk: the directories `root` and `state`, and a lock on the root that keeps a
second daemon away from it.
"""
