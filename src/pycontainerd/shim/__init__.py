"""The shim: the process that owns the containers of one task or one pod, and outlives the daemon.

It is forked from the spawner (`child`), or made by the executable `containerd-shim-runc-v2` for a foreign daemon
(`commands.shim`). It serves the task API over ttrpc on a socket that is listening before it starts, is the subreaper
of its containers, moves their bytes, and tells the daemon what happens to them.

Words. A *container* is an *init* process and its *execs*; each is a process with a state. The *bundle* is its
directory in the daemon's state; the *reaper* is the one owner of wait4; the *exit record* is what stays in the bundle
of a process that ended, written before anyone is told. Everything runs as coroutines over `loop`, one thread, no
asyncio. Once a shim has been forked it imports nothing more: an upgrade of the package must not mix versions.
"""
