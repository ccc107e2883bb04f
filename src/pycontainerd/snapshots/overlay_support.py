"""What overlay can do on this machine, and which options it needs; asked once, when the plugin starts."""

from __future__ import annotations

import ctypes
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pycontainerd.errors import Error
from pycontainerd.mounts.model import Mount
from pycontainerd.mounts.mounting import mount_all, unmount
from pycontainerd.snapshots.model import ONLY_REMAP_IDS, REBASE, REMAP_IDS
from pycontainerd.system.libc import libc

_INDEX_PARAMETER: Final = "/sys/module/overlay/parameters/index"
_UNKNOWN_TYPE: Final = 0
_TMPFS_MAGIC: Final = 0x01021994
_SOME_ID: Final = 65_533


class _Entry(ctypes.Structure):
    """struct dirent of 64-bit Linux; see readdir(3)."""

    _fields_ = (
        ("d_ino", ctypes.c_uint64),
        ("d_off", ctypes.c_int64),
        ("d_reclen", ctypes.c_ushort),
        ("d_type", ctypes.c_ubyte),
        ("d_name", ctypes.c_char * 256),
    )


def check(root: Path) -> None:
    """Raises OSError if overlay can't have its directories below *root*."""
    if not _tells_types(root):
        raise OSError(f"{root} does not support d_type. If the backing filesystem is xfs, please reformat with ftype=1")
    with tempfile.TemporaryDirectory(prefix="supported-", dir=root) as directory:
        lower = [os.path.join(directory, name) for name in ("lower2", "lower1")]
        target = os.path.join(directory, "merged")
        for path in (*lower, target):
            os.mkdir(path)
        options = [f"lowerdir={':'.join(lower)}", *(["userxattr"] if needs_userxattr(root) else [])]
        mount_all([Mount("overlay", "overlay", "", tuple(options))], target)
        unmount(target)


def all_options(root: Path, configured: Sequence[str]) -> tuple[str, ...]:
    """The options of every overlay mount: what the configuration says, and what kernel and namespace ask for."""
    options = list(configured)
    if "userxattr" not in options and needs_userxattr(root):
        options.append("userxattr")
    if not any(option.startswith("index=") for option in options) and os.path.exists(_INDEX_PARAMETER):
        # With the index on, a layer that is used by two mounts at once is refused.
        options.append("index=off")
    return tuple(options)


def capabilities(*, remaps_ids: bool, slow_chown: bool) -> tuple[str, ...]:
    """What clients may ask of the snapshotter, in the order in which the original lists it."""
    found = ((REMAP_IDS, remaps_ids), (ONLY_REMAP_IDS, not slow_chown), (REBASE, not in_user_namespace()))
    return tuple(name for name, can in found if can)


def maps_ids(root: Path) -> bool:
    """Whether overlay can be mounted on id-mapped layers below *root*: by doing it.

    Kernels can since 5.19, but each file system has to as well, and none may in a user namespace.
    """
    mapping = f"0:{_SOME_ID}:1"
    with tempfile.TemporaryDirectory(prefix="mapped-", dir=root) as directory:
        lower, upper, work, target = (os.path.join(directory, name) for name in ("lower", "upper", "work", "merged"))
        for path in (lower, upper, work, target, os.path.join(lower, "entry")):
            os.mkdir(path)
        options = (f"uidmap={mapping}", f"gidmap={mapping}", f"workdir={work}", f"upperdir={upper}")
        try:
            mount_all([Mount("overlay", "overlay", "", (*options, f"lowerdir={lower}"))], target)
        except (OSError, Error):
            return False
        try:
            return os.stat(os.path.join(target, "entry")).st_uid == _SOME_ID
        finally:
            unmount(target)


def needs_userxattr(root: Path) -> bool:
    """Whether overlay has to keep its marks in `user.*`, since `trusted.*` is not allowed."""
    return in_user_namespace() and _kernel() >= (5, 11) and _file_system(root) != _TMPFS_MAGIC


def in_user_namespace() -> bool:
    """Whether our ids are not those of the machine; see user_namespaces(7)."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return file.read().split() != ["0", "0", "4294967295"]


def _kernel() -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _file_system(path: Path) -> int:
    """The magic number of the file system; see statfs(2)."""
    buffer = (ctypes.c_long * 32)()
    if libc.statfs(os.fsencode(path), buffer):
        return 0
    return int(buffer[0])


def _tells_types(root: Path) -> bool:
    """Whether directory entries carry their types; without, overlay can't find its whiteouts."""
    with tempfile.TemporaryDirectory(prefix="d-type-", dir=root) as directory:
        os.mkdir(os.path.join(directory, "entry"))
        libc.opendir.restype = ctypes.c_void_p
        libc.readdir.restype = ctypes.POINTER(_Entry)
        stream = ctypes.c_void_p(libc.opendir(os.fsencode(directory)))
        try:
            while entry := libc.readdir(stream):
                if entry.contents.d_type == _UNKNOWN_TYPE:
                    return False
            return True
        finally:
            libc.closedir(stream)
