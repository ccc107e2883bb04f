"""Giving up capabilities for good; see capabilities(7)."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable
from typing import Final

from pycontainerd.system import prctl
from pycontainerd.system.libc import checked, libc

CAP_CHOWN: Final = 0
CAP_DAC_OVERRIDE: Final = 1
CAP_DAC_READ_SEARCH: Final = 2
CAP_FOWNER: Final = 3
CAP_FSETID: Final = 4
CAP_KILL: Final = 5
CAP_SYS_ADMIN: Final = 21
CAP_SYS_RESOURCE: Final = 24
CAP_MKNOD: Final = 27
CAP_SETFCAP: Final = 31

_VERSION_3: Final = 0x20080522
_LAST: Final = 63
_HEADER: Final = struct.Struct("=Ii")
_DATA: Final = struct.Struct("=6I")


def effective() -> int:
    """The effective capabilities of the calling thread, as a bit mask."""
    return _get()[0]


def keep_only(kept: Iterable[int]) -> None:
    """Drops every capability of the calling thread but *kept* (of those that it has), from every set.

    Threads that exist keep theirs; those that it starts have what it has. Raises OSError.
    """
    mask = sum(1 << capability for capability in set(kept))
    present, permitted, _ = _get()
    for capability in range(_LAST + 1):
        if not mask >> capability & 1 and permitted >> capability & 1:
            prctl.prctl(prctl.PR_CAPBSET_DROP, capability)
    prctl.prctl(prctl.PR_CAP_AMBIENT, prctl.PR_CAP_AMBIENT_CLEAR_ALL)
    _set(present & mask, permitted & mask, 0)


def _get() -> tuple[int, int, int]:
    """Effective, permitted and inheritable ones."""
    header = ctypes.create_string_buffer(_HEADER.pack(_VERSION_3, 0), _HEADER.size)
    data = ctypes.create_string_buffer(_DATA.size)
    checked(libc.capget(header, data))
    words = _DATA.unpack(data.raw)
    effective_, permitted, inheritable = (words[index] | words[index + 3] << 32 for index in range(3))
    return effective_, permitted, inheritable


def _set(*sets: int) -> None:
    header = ctypes.create_string_buffer(_HEADER.pack(_VERSION_3, 0), _HEADER.size)
    words = [value & 0xFFFFFFFF for value in sets] + [value >> 32 for value in sets]
    data = ctypes.create_string_buffer(_DATA.pack(*words), _DATA.size)
    checked(libc.capset(header, data))
