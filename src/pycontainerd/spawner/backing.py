"""Keeping the spawner's memory in a file, from which each child maps it: memory that a child can give back.

A forked child shares the anonymous memory of its parent page by page until it writes one, and keeps the copy that it
gets then for ever. But most of what CPython writes are reference counts that go up and down again: when a child rests,
half of its copies equal what they were copied from. Once the memory is a private mapping of a file, such a copy can be
dropped (`drop_unchanged`): the next access finds the page in the file. And a child has only those pages in its page
tables that it has touched. For 20 shims after 100 requests each, the PSS of one is 2.4 MB by it, 4.2 without.

The difficulty is that the interpreter which does this lives in the memory that it does it to.

`Memory.move` replaces a page by its copy in the file, so nothing may write to the page after it was copied. A second
process, the witness, shares all pages meanwhile: a page that is still shared was not written since. Which pages the
moving itself is going to write is known by doing it without effect some times before; they stay where they are.

`Memory.drop` compares a page with its original and drops it by two calls that follow each other. At both, the
interpreter holds the same objects, so an equal page is still equal, unless the code between the calls has written it
for good (the references to the two functions, for one). These pages are the same in each process; they are found in a
child that only pretends (`Memory.learn`), and never dropped.

A quarter of what would stay different is byte code, in which the interpreter counts and notes what it has seen. Before
the comparison it is made again what it was in the spawner: as right as what it became, since every such note is checked
before it is used.
"""

from __future__ import annotations

import ctypes
import fcntl
import gc
import mmap
import os
import re
import signal
import sys
from typing import Final

from pycontainerd.spawner.bytecode import PAGE, ByteCode
from pycontainerd.system import tracing
from pycontainerd.system.libc import checked, failure, libc

SMALLEST_REGION: Final = 256 << 10
"""Bytes; the interpreter's arenas are larger, and what is smaller is not worth a mapping."""

REHEARSALS: Final = 3

# What a page is, by the highest byte of its entry in proc_pid_pagemap(5): 0x80 present, 0x20 of a file, 0x01 mapped by
# this process alone.
_TOP: Final = 7 if sys.byteorder == "little" else 0
_COPIES: Final = re.compile(rb"[\x80\x81]+")
_SHARED_COPIES: Final = re.compile(rb"\x80+")
_OF_FILE: Final = re.compile(rb"[\xa0\xa1]+")
_SET: Final = re.compile(rb"\x01+")

_MAP_FIXED: Final = 0x10
_MADV_DONTNEED: Final = 4
_PROTECTION: Final = mmap.PROT_READ | mmap.PROT_WRITE
_FAILED: Final = ctypes.c_void_p(-1).value
_STACK_SIZE: Final = 64 << 10

_map = libc.mmap
_map.restype = ctypes.c_void_p
_map.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_unmap = libc.munmap
_unmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_advise = libc.madvise
_advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_compare = libc.memcmp
_compare.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
_write = libc.pwrite
_write.restype = ctypes.c_ssize_t
_write.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long]
_clone = libc.clone
_clone.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]

_memory: Memory | None = None


def back(code: ByteCode) -> bool:
    """Moves this process's memory into a file; whether that was possible. All works without, too.

    *code* was found before the memory was settled. Only for a process of one thread, in which everything is loaded.
    """
    global _memory  # noqa: PLW0603 - children find it here
    try:
        memory = Memory(code)
        witness = Witness()
        try:
            memory.move()
        finally:
            witness.end()
        memory.learn()
    except OSError:  # of a kernel or a sandbox that does not show its pages
        return False
    _memory = memory
    return True


def drop_unchanged() -> int:
    """Gives back this process's copies of pages that are as they were in the spawner: how many pages that are.

    Takes 3 ms, and the next request 0.5 more than others: for a moment in which there is nothing to do.
    """
    if _memory is None:
        return 0
    collecting = gc.isenabled()
    gc.disable()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        return _memory.drop(pretend=False)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if collecting:
            gc.enable()


class Witness:
    """A process that shares all our pages and writes none: it runs no Python, but pause(2)."""

    def __init__(self) -> None:
        self._stack = _mapped(_STACK_SIZE)
        pause = ctypes.cast(libc.pause, ctypes.c_void_p)
        self._pid = checked(_clone(pause, self._stack + _STACK_SIZE, signal.SIGCHLD, None))
        try:
            tracing.tie(self._pid)
        except OSError:
            self.end()
            raise

    def end(self) -> None:
        os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        _unmap(self._stack, _STACK_SIZE)


class Memory:
    """The regions that are moved: the heap, the interpreter's arenas and its data. Our own tables lie outside.

    Pages are counted through all regions. In the file and the tables there is one more in front: small numbers are
    objects that the whole interpreter shares.
    """

    def __init__(self, code: ByteCode) -> None:
        self._regions = _regions()
        self._count = 1 + sum(length for _, length in self._regions)
        self._size = self._count * PAGE
        self._entries = memoryview(mmap.mmap(-1, self._count * 8))
        self._droppable = memoryview(mmap.mmap(-1, self._count))
        """1 for each page that is in the file and that `drop` does not write itself."""
        self._pretended = _mapped(self._size)
        """Where things are done without effect; there until all is learnt."""
        self._originals = 0
        self._code = code
        code.count_pages(self._regions)

    def move(self) -> None:
        """Maps every page that this does not write itself from the file. Raises OSError."""
        file = self._copy()
        try:
            for _ in range(REHEARSALS):
                self._map_shared(file, pretend=True)
            self._map_shared(file, pretend=False)
            self._originals = _mapped(self._size, mmap.PROT_READ, mmap.MAP_SHARED, file)
        finally:
            os.close(file)

    def learn(self) -> None:
        """Finds the pages that `drop` writes, in a child that drops none, and takes them out. Raises OSError."""
        child = os.fork()
        if not child:
            try:
                for _ in range(REHEARSALS):
                    self.drop(pretend=True)
                self._take_out_copies()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        _unmap(self._pretended, self._size)

    def drop(self, *, pretend: bool) -> int:
        """Drops copies that equal their originals, and what was only read: the number of pages."""
        dropped = 0
        first = 1
        for start, length in self._regions:
            flags = self._flags(start, length)
            for run in _COPIES.finditer(flags):
                for page in range(run.start(), run.end()):
                    if self._droppable[first + page]:
                        self._code.restore(first + page, self._originals - start + first * PAGE)
                        dropped += self._drop(start + page * PAGE, first + page, 1, pretend)
            for run in _OF_FILE.finditer(flags):
                dropped += self._drop_range(start, first, run.start(), run.end(), pretend)
            first += length
        _advise(self._originals, self._size, _MADV_DONTNEED)
        return dropped

    def _drop_range(self, start: int, first: int, begin: int, end: int, pretend: bool) -> int:
        dropped = 0
        for run in _SET.finditer(self._droppable[first + begin : first + end]):
            page = begin + run.start()
            dropped += self._drop(start + page * PAGE, first + page, run.end() - run.start(), pretend)
        return dropped

    def _drop(self, at: int, index: int, count: int, pretend: bool) -> int:
        """Drops *count* pages if they are unchanged: how many were. Between the two calls nothing is made or freed."""
        size = count * PAGE
        original = self._originals + index * PAGE
        target = self._pretended if pretend else at
        if _compare(at, original, size):
            return 0
        _advise(target, size, _MADV_DONTNEED)
        return count

    def _take_out_copies(self) -> None:
        first = 1
        for start, length in self._regions:
            for run in _COPIES.finditer(self._flags(start, length)):
                self._droppable[first + run.start() : first + run.end()] = bytes(run.end() - run.start())
            first += length

    def _copy(self) -> int:
        """A file with the content of all regions, which nobody can write; its descriptor for reading."""
        file = os.memfd_create("memory", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(file, self._size)
            first = 1
            for start, length in self._regions:
                for run in _COPIES.finditer(self._flags(start, length)):
                    at, size = start + run.start() * PAGE, (run.end() - run.start()) * PAGE
                    checked(_write(file, at, size, (first + run.start()) * PAGE))
                first += length
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
            return os.open(f"/proc/self/fd/{file}", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            os.close(file)

    def _map_shared(self, file: int, *, pretend: bool) -> None:
        """Maps the pages from *file* that are still shared with the witness."""
        first = 1
        for start, length in self._regions:
            for run in _SHARED_COPIES.finditer(self._flags(start, length)):
                at, size = start + run.start() * PAGE, (run.end() - run.start()) * PAGE
                offset = (first + run.start()) * PAGE
                target = self._pretended if pretend else at
                if _map(target, size, _PROTECTION, mmap.MAP_PRIVATE | _MAP_FIXED, file, offset) == _FAILED:
                    raise failure()
                self._droppable[first + run.start() : first + run.end()] = b"\1" * (run.end() - run.start())
            first += length

    def _flags(self, start: int, length: int) -> bytes:
        """The highest byte of the entry of each of *length* pages from address *start*."""
        entries = self._entries[: length * 8]
        pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.preadv(pagemap, [entries], start // PAGE * 8)
        finally:
            os.close(pagemap)
        return entries[_TOP::8].tobytes()


def _mapped(size: int, protection: int = _PROTECTION, flags: int = mmap.MAP_PRIVATE, file: int = -1) -> int:
    """The address of a new mapping, of nothing or of the beginning of *file*. Raises OSError."""
    address = _map(None, size, protection, flags | (mmap.MAP_ANONYMOUS if file < 0 else 0), file, 0)
    if address is None or address == _FAILED:
        raise failure()
    return int(address)


def _regions() -> list[tuple[int, int]]:
    """Address and number of pages of each region that may be moved; see proc_pid_maps(5)."""
    program = os.path.realpath("/proc/self/exe")
    regions = []
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        for line in file:
            addresses, mode, _, _, _, *rest = line.split(maxsplit=5)
            start, end = (int(address, 16) for address in addresses.split("-"))
            name = rest[0].strip() if rest else ""
            wanted = name in ("[heap]", program) or "/libpython" in name if name else end - start >= SMALLEST_REGION
            if wanted and mode == "rw-p":
                regions.append((start, (end - start) // PAGE))
    return regions
