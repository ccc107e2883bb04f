"""Extended attributes of what a layer brings; see xattr(7)."""

from __future__ import annotations

import errno
import os
from typing import Final

from pycontainerd.diff.tree import OPEN_DIRECTORY

TRUSTED: Final = b"trusted."
DEFAULT_ACL: Final = b"system.posix_acl_default"

_USER: Final = b"user."


def set_one(place: int | bytes, key: bytes, value: bytes, *, special: bool = False) -> None:
    """Sets an attribute of an open file, or of a name in the working directory that is not followed.

    A file system without attributes is none to complain about; nor is one of `user.*`, which only files and directories
    can have, on something else. Raises OSError otherwise.
    """
    try:
        if isinstance(place, int):
            os.setxattr(place, key, value)
        else:
            os.setxattr(place, key, value, follow_symlinks=False)
    except OSError as error:
        refused = error.errno == errno.EPERM and special and key.startswith(_USER)
        if error.errno != errno.ENOTSUP and not refused:
            raise


def copy_directory(source: int, parent: int, name: bytes) -> bool:
    """Gives the directory *name* owner, attributes (not `trusted.*`), mode and times of *source*.

    Whether a default ACL was among them, which changes the modes of files that are made there.
    """
    state = os.fstat(source)
    target = os.open(name, OPEN_DIRECTORY, dir_fd=parent)
    try:
        os.chown(target, state.st_uid, state.st_gid)
        keys = [os.fsencode(key) for key in _list(source)]
        for key in keys:
            if not key.startswith(TRUSTED):
                set_one(target, key, os.getxattr(source, key))
        os.chmod(target, state.st_mode & 0o7777)
        os.utime(target, ns=(state.st_atime_ns, state.st_mtime_ns))
    finally:
        os.close(target)
    return DEFAULT_ACL in keys


def is_bare(fd: int) -> bool:
    """Whether a directory is empty and gives nothing but itself to what is made in it."""
    with os.scandir(fd) as entries:
        if any(True for _ in entries):
            return False
    return os.fsdecode(DEFAULT_ACL) not in _list(fd)


def _list(fd: int) -> list[str]:
    try:
        return os.listxattr(fd)
    except OSError as error:
        if error.errno == errno.ENOTSUP:
            return []
        raise
