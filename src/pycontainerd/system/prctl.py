"""Attributes of the calling process and thread; see prctl(2)."""

from __future__ import annotations

import ctypes
from typing import Final

from pycontainerd.system.libc import checked, libc

PR_SET_PDEATHSIG: Final = 1
PR_SET_NAME: Final = 15
PR_GET_NAME: Final = 16
PR_CAPBSET_DROP: Final = 24
PR_SET_SECCOMP: Final = 22
PR_SET_MM: Final = 35
PR_SET_CHILD_SUBREAPER: Final = 36
PR_GET_CHILD_SUBREAPER: Final = 37
PR_SET_NO_NEW_PRIVS: Final = 38
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4
PR_SCHED_CORE: Final = 62

PR_SCHED_CORE_GET: Final = 0
PR_SCHED_CORE_CREATE: Final = 1
PR_SCHED_CORE_SCOPE_THREAD: Final = 0
PR_SCHED_CORE_SCOPE_THREAD_GROUP: Final = 1

PR_SET_MM_MAP: Final = 14

_prctl: Final = libc.prctl
_prctl.restype = ctypes.c_int
_prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]


def prctl(option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0, arg5: int = 0) -> int:
    """The call itself. Raises OSError."""
    return checked(_prctl(option, arg2, arg3, arg4, arg5))


def set_name(name: str) -> None:
    """Sets what `ps -o comm` shows of the calling thread; the kernel cuts it at 15 bytes."""
    buffer = ctypes.create_string_buffer(name.encode()[:15])
    prctl(PR_SET_NAME, ctypes.addressof(buffer))


def get_name() -> str:
    """The name of the calling thread."""
    buffer = ctypes.create_string_buffer(16)
    prctl(PR_GET_NAME, ctypes.addressof(buffer))
    return buffer.value.decode(errors="replace")


def set_child_subreaper(*, on: bool = True) -> None:
    """Makes this process the parent of descendants whose parent has died."""
    prctl(PR_SET_CHILD_SUBREAPER, int(on))


def is_child_subreaper() -> bool:
    value = ctypes.c_int()
    prctl(PR_GET_CHILD_SUBREAPER, ctypes.addressof(value))
    return bool(value.value)


def set_parent_death_signal(number: int) -> None:
    """The signal that this process gets when the *thread* that made it ends; 0 for none. An exec keeps it."""
    prctl(PR_SET_PDEATHSIG, number)


def set_no_new_privileges() -> None:
    """No exec after this gains anything; needed for a seccomp filter without CAP_SYS_ADMIN."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def get_core_scheduling_cookie() -> int:
    """The core-scheduling group of the calling thread, 0 for none. Raises OSError where there is no such thing."""
    cookie = ctypes.c_ulonglong()
    prctl(PR_SCHED_CORE, PR_SCHED_CORE_GET, 0, PR_SCHED_CORE_SCOPE_THREAD, ctypes.addressof(cookie))
    return cookie.value


def new_core_scheduling_cookie() -> None:
    """Puts this process's threads into a core-scheduling group of their own."""
    prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, PR_SCHED_CORE_SCOPE_THREAD_GROUP, 0)
