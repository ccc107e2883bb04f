"""Tasks: the running side of containers.

A *task* is a container that has, or had, processes: its init, named like the container, and any number of *execs*. It
lives in a shim (`pycontainerd.runtime`); the daemon only knows the way there, and asks.
"""
