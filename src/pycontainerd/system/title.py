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

_marks: list[int] | None = None
"""The marks as exec set them, in the order of struct prctl_mm_map. Read once: later the end of the arguments may be
ours. A forked child has the same memory, and is spared the reading."""

_ARGUMENTS: Final = 7
"""Where the arguments' start is among the marks; their end follows."""


def _read_marks() -> list[int]:
    """Code, data, start and end of the heap, stack, arguments, environment: fields 26 to 51 of proc_pid_stat(5)."""
    global _marks  # noqa: PLW0603 - a fact of the process image
    if _marks is None:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b") ")[2].split()
        numbers = (26, 27, 45, 46, 47, 47, 28, 48, 49, 50, 51)
        _marks = [int(fields[number - 3]) for number in numbers]
    return _marks


def argument_area() -> tuple[int, int]:
    """Start and end address of the memory that holds the arguments."""
    start, end = _read_marks()[_ARGUMENTS : _ARGUMENTS + 2]
    return start, end


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
            _move_end(start + len(text))
    prctl.set_name(name if name is not None else os.path.basename(arguments[0]))


def _move_end(end: int) -> None:
    """Sets the end of the arguments and leaves the other marks where they are, the heap's where it is now."""
    marks = list(_read_marks())
    marks[5] = _sbrk(0) or marks[4]
    marks[_ARGUMENTS + 1] = end
    raw = ctypes.create_string_buffer(_MM_MAP.pack(*marks, 0, 0, 0xFFFFFFFF), _MM_MAP.size)
    prctl.prctl(prctl.PR_SET_MM, prctl.PR_SET_MM_MAP, ctypes.addressof(raw), _MM_MAP.size)


_sbrk: Final = libc.sbrk
_sbrk.restype = ctypes.c_void_p
