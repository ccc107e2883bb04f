"""Where byte code lies in this process's memory: behind the fields of its code object, see `backing`."""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from types import CodeType, FunctionType
from typing import Final, Literal

from pycontainerd.system.libc import libc

PAGE: Final = os.sysconf("SC_PAGE_SIZE")

_move = libc.memmove
_move.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]


class ByteCode:
    """All byte code that functions have, in pieces each of which lies within one page.

    To be made before memory is settled, since the making leaves holes. Its tables lie outside.
    """

    def __init__(self) -> None:
        pieces = sorted(_pieces())
        self._number = len(pieces)
        self._pieces = _table("Q", 2 * self._number)
        """Address and length of each."""
        for number, (address, length) in enumerate(pieces):
            self._pieces[2 * number], self._pieces[2 * number + 1] = address, length
        self._begin = self._end = _table("I", 1)

    def count_pages(self, regions: Sequence[tuple[int, int]]) -> None:
        """Numbers the pages of *regions* (address, pages) from 1 on, through all of them, for `restore`."""
        pages = 1 + sum(length for _, length in regions)
        self._begin, self._end = _table("I", pages), _table("I", pages)
        first = 1
        for start, length in regions:
            for number in range(self._after(start), self._after(start + length * PAGE)):
                page = first + (self._pieces[2 * number] - start) // PAGE
                if not self._end[page]:
                    self._begin[page] = number
                self._end[page] = number + 1
            first += length

    def restore(self, page: int, distance: int) -> None:
        """Copies the byte code in *page* from what lies *distance* bytes after it."""
        for number in range(self._begin[page], self._end[page]):
            address = self._pieces[2 * number]
            _move(address, address + distance, self._pieces[2 * number + 1])

    def _after(self, address: int) -> int:
        """The number of the first piece that does not lie before *address*."""
        return bisect_left(range(self._number), address, key=lambda number: self._pieces[2 * number])


def _table(kind: Literal["I", "Q"], length: int) -> memoryview[int]:
    """A table of 4 or 8 bytes a number outside of the interpreter's memory."""
    return memoryview(mmap.mmap(-1, 8 * max(length, 1))).cast(kind)


def _pieces() -> Iterator[tuple[int, int]]:
    """Address and length of each piece."""
    header = CodeType.__basicsize__
    sample = _pieces.__code__
    if ctypes.string_at(id(sample) + header, len(sample.co_code)) != getattr(sample, "_co_code_adaptive", None):
        return  # an interpreter that keeps it elsewhere
    for code in _all_code():
        address, left = id(code) + header, len(code.co_code)
        while left:
            length = min(left, PAGE - address % PAGE)
            yield address, length
            address, left = address + length, left - length


def _all_code() -> list[CodeType]:
    found = [each.__code__ for each in gc.get_objects() if type(each) is FunctionType]
    known: dict[int, CodeType] = {}
    while found:
        code = found.pop()
        if id(code) not in known:
            known[id(code)] = code
            found += [each for each in code.co_consts if isinstance(each, CodeType)]
    return list(known.values())
