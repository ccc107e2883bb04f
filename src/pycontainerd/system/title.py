"""What `ps` and `pidof` show of a process: its arguments and its name.

The kernel prints `/proc/<pid>/cmdline` from the memory between two marks. We write the arguments there, separated by
NUL, so that a reader finds argv[0] and the others where it expects them, and move the end mark behind the last one
(PR_SET_MM_MAP of prctl(2), which needs no capability). Where the kernel lacks that, the rest is filled with NUL: the
last byte before the mark must be NUL, else the kernel takes the whole for one string. There is never more room than
the process was executed with; what doesn't fit is cut.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from pycontainerd.system import prctl
from pycontainerd.system.libc import libc

_MM_MAP: Final = struct.Struct("=12QII")
"""struct prctl_mm_map: 11 addresses, the auxiliary vector (none: unchanged) and its size, the executable (-1: same)."""

_area: tuple[int, int] | None = None
"""The marks as exec set them. Read once: later the end mark may be ours; a forked child has the same memory."""


def argument_area() -> tuple[int, int]:
    """Start and end address of the memory that holds the arguments; fields 48 and 49 of proc_pid_stat(5)."""
    global _area  # noqa: PLW0603 - a fact of the process image
    if _area is None:
        _area = (_stat_field(48), _stat_field(49))
    return _area


def _stat_field(number: int) -> int:
    with open("/proc/self/stat", "rb") as file:
        return int(file.read().rpartition(b") ")[2].split()[number - 3])


def set_title(arguments: Sequence[str], *, name: str | None = None) -> None:
    """Shows *arguments* as those of this process, and *name* (by default the base name of the first) as its name."""
    start, end = argument_area()
    room = end - start
    text = b"".join(os.fsencode(argument) + b"\0" for argument in arguments)
    if len(text) > room:
        text = text[: room - 1] + b"\0"
    if room > 0:
        ctypes.memmove(start, text.ljust(room, b"\0"), room)
        with suppress(OSError):  # NUL to the end then
            _move_end(start, start + len(text))
    prctl.set_name(name if name is not None else os.path.basename(arguments[0]))


def _move_end(start: int, end: int) -> None:
    """Sets the marks of the arguments and leaves those of code, data, heap, stack and environment where they are."""
    code, data, environment = ((_stat_field(number), _stat_field(number + 1)) for number in (26, 45, 50))
    libc.sbrk.restype = ctypes.c_void_p
    heap_end = libc.sbrk(0) or 0
    marks = (*code, *data, _stat_field(47), heap_end, _stat_field(28), start, end, *environment)
    raw = ctypes.create_string_buffer(_MM_MAP.pack(*marks, 0, 0, 0xFFFFFFFF), _MM_MAP.size)
    prctl.prctl(prctl.PR_SET_MM, prctl.PR_SET_MM_MAP, ctypes.addressof(raw), _MM_MAP.size)
