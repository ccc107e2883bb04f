"""Mounts as values and as deeds.

Words: a *mount* is what a snapshotter answers (`Mount`); its *options* are flags, data for the file system, or
orders to us (`loop`, `uidmap=`); a *target* is the directory that a list of mounts is applied to, in order; a
*temporary* mount lies in a directory `containerd-mount*` of the daemon's `tmpmounts` and ends with the block that made
it. Used by the daemon (in threads), by workers and by the shim: nothing here imports an event loop.
"""

from pycontainerd.mounts.model import Mount

__all__ = ["Mount"]
