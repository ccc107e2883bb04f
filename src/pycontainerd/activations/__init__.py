"""Activations: mounts that the daemon made for a client, under a name, until they are deactivated or collected.

A list of mounts may hold some that mount(2) does not know: of a type that a *handler* mounts, or one that names
*transformers* before it, `format/mkdir/overlay`, which fill in the mount points of those before, or make what is to be
mounted. The daemon mounts as far as it must, and gives back what is left for the caller: the *system* mounts.

On disk, below `<state>/io.containerd.mount-manager.v1.bolt/t/`, a directory for each activation:

    <number>/<k>          a mount point; the last mount has 1, so that the order of names is that of unmounting
    <number>/<k>-type     its type, which says who unmounts it

Order: the row, reserved; the directory; the mounts; the row made visible. The other way round at the end. A directory
that no row names is what a crash has left, and the collector takes it; a row without a directory is from before the
machine was started, and goes at the start of the daemon.
"""
