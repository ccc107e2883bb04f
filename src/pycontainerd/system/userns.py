"""A user namespace for its mapping alone; see user_namespaces(7)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from typing import Final

from pycontainerd.system import tracing
from pycontainerd.system.libc import checked, libc
from pycontainerd.system.namespaces import CLONE_NEWUSER

_CLONE_VM: Final = 0x100
_STACK_SIZE: Final = 65536


def open_mapped(uid_map: str, gid_map: str) -> int:
    """A descriptor of a new user namespace with these maps (lines of `inside outside count`).

    A process with threads can't unshare one, so a child holds it while we write its maps: it shares our memory (no
    fork), stands in pause(2) on a stack of its own, and runs no code of ours.
    """
    stack = ctypes.create_string_buffer(_STACK_SIZE)
    top = (ctypes.addressof(stack) + _STACK_SIZE) & ~15
    flags = _CLONE_VM | CLONE_NEWUSER | signal.SIGCHLD
    pid = checked(libc.clone(libc.pause, ctypes.c_void_p(top), flags, None))
    try:
        with contextlib.suppress(OSError):  # where tracing is forbidden, as in some sandboxes
            tracing.tie(pid)
        for name, text in (("uid_map", uid_map), ("gid_map", gid_map)):
            with open(f"/proc/{pid}/{name}", "w", encoding="ascii") as file:
                file.write(text)
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
