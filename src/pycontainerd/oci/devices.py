"""Device nodes of this machine, as a spec names them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Final

from pycontainerd.errors import InvalidArgument, NotFound
from pycontainerd.oci.spec import Device

_NOT_OURS: Final = frozenset(("pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"))
"""Directories below /dev that a container has of its own, or that no device lies in."""


def device_of(path: str, inside: str = "") -> Device:
    """The device at *path*, to appear at *inside* (or at the same path) in the container.

    Raises NotFound if nothing is there, InvalidArgument if it is no device.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError as error:
        raise NotFound(f"lstat {path}: no such file or directory", bare=True) from error
    kind = _kind(found.st_mode)
    if not kind:
        raise InvalidArgument("not a device node", bare=True)
    major, minor = os.major(found.st_rdev), os.minor(found.st_rdev)
    return Device(inside or path, kind, major, minor, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)


def _kind(mode: int) -> str:
    if stat.S_ISCHR(mode):
        return "c"
    return "b" if stat.S_ISBLK(mode) else ""


def devices_below(path: str, inside: str = "") -> list[Device]:
    """The devices at *path*: itself, or all in the tree below it, ordered by name.

    Raises NotFound and InvalidArgument as `device_of` does, if *path* is no directory.
    """
    if not stat.S_ISDIR(os.stat(path).st_mode):
        return [device_of(path, inside)]
    return list(_walk(path, inside))


def _walk(path: str, inside: str) -> Iterator[Device]:
    with os.scandir(path) as scan:
        entries = sorted(scan, key=lambda entry: os.fsencode(entry.name))
    for entry in entries:
        below = os.path.join(inside, entry.name) if inside else ""
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _NOT_OURS:
                yield from _walk(entry.path, below)
        elif entry.name != "console":
            try:
                yield device_of(entry.path, below)
            except (NotFound, InvalidArgument):
                continue  # a link, a socket, or gone meanwhile


def host_devices() -> list[Device]:
    """All devices of this machine."""
    return list(_walk("/dev", ""))
