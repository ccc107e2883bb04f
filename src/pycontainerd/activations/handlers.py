"""Who mounts types that mount(2) alone can't. Everything here blocks the calling thread."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Protocol

from pycontainerd.mounts import mounting
from pycontainerd.mounts.model import Mount


def is_known(type_: str) -> bool:
    """Whether the kernel mounts file systems of *type_* now, without loading a module."""
    with open("/proc/filesystems", encoding="ascii") as file:
        return any(line.split()[-1] == type_ for line in file)


class Handler(Protocol):
    """A plugin of the type mount-handler. Its mounts are taken away as all others are, from their mount points."""

    def mount(self, mount: Mount, point: str) -> None:
        """Mounts at *point*, an empty directory. Raises OSError."""


class Erofs:
    """Images of EROFS: the kernel mounts the file itself from Linux 6.12 on, and a loop device over it before."""

    def __init__(self, mount_one: Callable[[Mount, str], None] = mounting.mount_one) -> None:
        self._mount_one = mount_one

    def mount(self, mount: Mount, point: str) -> None:
        options = tuple(dict.fromkeys(("ro", *(option for option in mount.options if option != "loop"))))
        try:
            self._mount_one(Mount(mount.type, mount.source, mount.target, options), point)
        except OSError as error:
            if error.errno != errno.ENOTBLK:
                raise
            self._mount_one(Mount(mount.type, mount.source, mount.target, (*options, "loop")), point)
