"""Opening below a directory, whatever lies there; see openat2(2)."""

from __future__ import annotations

import ctypes
import os
from typing import Final

from pycontainerd.system.libc import checked, libc

RESOLVE_NO_XDEV: Final = 0x01
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08
RESOLVE_IN_ROOT: Final = 0x10

_SYS_OPENAT2: Final = 437


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_HOW_SIZE: Final = ctypes.sizeof(_OpenHow)
_syscall: Final = libc.syscall


def openat2(directory: int, path: str | bytes, flags: int, resolve: int, mode: int = 0) -> int:
    """Opens *path* below *directory*; the caller owns the descriptor, which is close-on-exec.

    Raises OSError: EXDEV where RESOLVE_BENEATH is violated, ELOOP for a refused link, EAGAIN when a rename raced with
    `..` (the caller may try again).
    """
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    number = ctypes.c_long(_SYS_OPENAT2)
    result = _syscall(number, ctypes.c_long(directory), os.fsencode(path), ctypes.byref(how), ctypes.c_long(_HOW_SIZE))
    return int(checked(result, path))
