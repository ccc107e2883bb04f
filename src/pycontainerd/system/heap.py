"""How the C library's allocator keeps memory; see mallopt(3) and malloc_trim(3)."""

from __future__ import annotations

from typing import Final

from pycontainerd.system.libc import libc

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3


def keep_freed(size: int) -> bool:
    """Lets the allocator keep up to *size* freed bytes at the end of the heap for the next large object.

    By its own rules it gives each message of a megabyte back to the kernel and faults it in again: a stream of such
    messages then runs at a third of its speed. Returns whether the allocator understood (only glibc's does).
    """
    return bool(libc.mallopt(_M_TRIM_THRESHOLD, size)) and bool(libc.mallopt(_M_MMAP_THRESHOLD, size))


def trim() -> bool:
    """Gives all freed memory back to the kernel, for a quiet moment. Returns whether there was any."""
    return bool(libc.malloc_trim(0))
