"""Mounting: the old call, and the newer ones that work on descriptors; see mount(2), fsopen(2), open_tree(2)."""

from __future__ import annotations

import ctypes
import os
from typing import Final

from pycontainerd.system.libc import checked, libc, syscall

MS_RDONLY: Final = 1
MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_SYNCHRONOUS: Final = 16
MS_REMOUNT: Final = 32
MS_MANDLOCK: Final = 64
MS_DIRSYNC: Final = 128
MS_NOATIME: Final = 1024
MS_NODIRATIME: Final = 2048
MS_BIND: Final = 4096
MS_MOVE: Final = 8192
MS_REC: Final = 16384
MS_UNBINDABLE: Final = 1 << 17
MS_PRIVATE: Final = 1 << 18
MS_SLAVE: Final = 1 << 19
MS_SHARED: Final = 1 << 20
MS_RELATIME: Final = 1 << 21
MS_STRICTATIME: Final = 1 << 24

MNT_FORCE: Final = 1
MNT_DETACH: Final = 2
MNT_EXPIRE: Final = 4
UMOUNT_NOFOLLOW: Final = 8

OPEN_TREE_CLONE: Final = 1
OPEN_TREE_CLOEXEC: Final = os.O_CLOEXEC
AT_FDCWD: Final = -100
AT_EMPTY_PATH: Final = 0x1000
AT_RECURSIVE: Final = 0x8000
AT_SYMLINK_NOFOLLOW: Final = 0x100

FSOPEN_CLOEXEC: Final = 1
FSMOUNT_CLOEXEC: Final = 1
FSCONFIG_SET_FLAG: Final = 0
FSCONFIG_SET_STRING: Final = 1
FSCONFIG_SET_FD: Final = 5
FSCONFIG_CMD_CREATE: Final = 6

MOVE_MOUNT_F_EMPTY_PATH: Final = 0x4
MOVE_MOUNT_T_EMPTY_PATH: Final = 0x40

MOUNT_ATTR_RDONLY: Final = 0x1
MOUNT_ATTR_NOSUID: Final = 0x2
MOUNT_ATTR_NODEV: Final = 0x4
MOUNT_ATTR_NOEXEC: Final = 0x8
MOUNT_ATTR_NOSYMFOLLOW: Final = 0x200000
MOUNT_ATTR_IDMAP: Final = 0x100000

_SYS_OPEN_TREE: Final = 428
_SYS_MOVE_MOUNT: Final = 429
_SYS_FSOPEN: Final = 430
_SYS_FSCONFIG: Final = 431
_SYS_FSMOUNT: Final = 432
_SYS_MOUNT_SETATTR: Final = 442

_mount: Final = libc.mount
_mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
_umount2: Final = libc.umount2
_umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def mount(source: str | None, target: str, type_: str | None, flags: int = 0, data: str | None = None) -> None:
    """Mounts, remounts, binds or changes propagation, as *flags* say. Raises OSError with source and target."""
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, type_, data)]
    checked(_mount(encoded[0], encoded[1], encoded[2], flags, encoded[3]), source, target)


def umount(target: str, flags: int = 0) -> None:
    """Takes the topmost mount from *target*; see umount(2). EINVAL: nothing is mounted there."""
    checked(_umount2(os.fsencode(target), flags), target)


def open_tree(directory: int, path: str, flags: int) -> int:
    """A descriptor of a mount, with OPEN_TREE_CLONE of a detached copy that ends with it."""
    return checked(syscall(_SYS_OPEN_TREE, directory, os.fsencode(path), flags), path)


def move_mount(from_fd: int, from_path: str, to_fd: int, to_path: str, flags: int = 0) -> None:
    """Attaches the (detached) mount *from* at *to*."""
    checked(
        syscall(_SYS_MOVE_MOUNT, from_fd, os.fsencode(from_path), to_fd, os.fsencode(to_path), flags),
        from_path,
        to_path,
    )


def fsopen(type_: str, flags: int = FSOPEN_CLOEXEC) -> int:
    """A context for configuring a file system of *type_*."""
    return checked(syscall(_SYS_FSOPEN, os.fsencode(type_), flags), type_)


def fsconfig(context: int, command: int, key: str | None = None, value: str | None = None, number: int = 0) -> None:
    """Sets one parameter, or gives a command. Raises OSError; the words of the kernel are read from *context*."""
    encoded = [None if text is None else os.fsencode(text) for text in (key, value)]
    checked(syscall(_SYS_FSCONFIG, context, command, encoded[0], encoded[1], number), value or key)


def fsmount(context: int, flags: int = FSMOUNT_CLOEXEC, attributes: int = 0) -> int:
    """A detached mount of the file system that was created in *context*."""
    return checked(syscall(_SYS_FSMOUNT, context, flags, attributes))


def mount_setattr(
    directory: int,
    path: str,
    flags: int = 0,
    *,
    set_: int = 0,
    clear: int = 0,
    propagation: int = 0,
    userns_fd: int = 0,
) -> None:
    """Changes attributes of a mount, or with AT_RECURSIVE of a tree; MOUNT_ATTR_IDMAP takes *userns_fd*."""
    attributes = _MountAttr(set_, clear, propagation, userns_fd)
    checked(
        syscall(
            _SYS_MOUNT_SETATTR,
            directory,
            os.fsencode(path),
            flags,
            ctypes.byref(attributes),
            ctypes.sizeof(attributes),
        ),
        path,
    )
