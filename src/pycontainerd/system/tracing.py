"""A child that dies with us, though it runs no code in which it could ask for that; see ptrace(2)."""

from __future__ import annotations

import ctypes
from typing import Final

from pycontainerd.system.libc import checked, libc

_SEIZE: Final = 0x4206
_EXIT_KILL: Final = 0x100000


def tie(pid: int) -> None:
    """Lets the kernel kill the child *pid* when the calling thread ends; it is not stopped. Raises OSError.

    Such a child has copies of our descriptors: one that outlived us would keep our sockets open, and whoever connects
    would wait for ever.
    """
    checked(libc.ptrace(_SEIZE, pid, None, ctypes.c_void_p(_EXIT_KILL)))
