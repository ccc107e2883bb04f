"""Leaving and entering namespaces; see namespaces(7). Python 3.12 has the first two calls, 3.11 none."""

from __future__ import annotations

import os
import platform
from typing import Final

from pycontainerd.system.libc import checked, libc, syscall

CLONE_FS: Final = 0x200
CLONE_NEWNS: Final = 0x20000
CLONE_NEWCGROUP: Final = 0x2000000
CLONE_NEWUTS: Final = 0x4000000
CLONE_NEWIPC: Final = 0x8000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

_SYS_PIVOT_ROOT: Final = {"x86_64": 155, "aarch64": 41, "riscv64": 41, "ppc64le": 203, "s390x": 217}


def unshare(flags: int) -> None:
    """Gives the calling thread namespaces (CLONE_NEW*) or a directory and umask (CLONE_FS) of its own."""
    checked(libc.unshare(flags))


def setns(descriptor: int, kind: int = 0) -> None:
    """Moves the calling thread into the namespace that *descriptor* names."""
    checked(libc.setns(descriptor, kind))


def pivot_root(new_root: str, put_old: str) -> None:
    """Makes the mount *new_root* the root, with the old one at *put_old*; `.` and `.` stack them."""
    number = _SYS_PIVOT_ROOT[platform.machine()]
    checked(syscall(number, os.fsencode(new_root), os.fsencode(put_old)), new_root, put_old)


def in_user_namespace() -> bool:
    """Whether this process lives in a user namespace other than the first: its ids are not all mapped as they are."""
    try:
        with open("/proc/self/uid_map", encoding="ascii") as file:
            return file.read().split() != ["0", "0", "4294967295"]
    except FileNotFoundError:
        return False
