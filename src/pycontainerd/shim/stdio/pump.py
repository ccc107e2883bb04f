"""Moving bytes from one descriptor to another until the end, without ever blocking the loop.

`splice` lets the kernel move pages between pipes; a `copy` goes through one buffer that all copies share, since the
loop runs one of them at a time and nothing of it is kept between two steps.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable
from typing import Final

from pycontainerd.shim.loop import Loop

CHUNK: Final = 64 << 10
"""Bytes copied at once."""

PIPE: Final = 256 << 10
"""Bytes that a pipe between us and others holds, and that are spliced at once.

Four times what a pipe has by itself: who fills and who empties it run in turns on a busy machine, and each turn moves
so much. A third of the CPU for the same bytes; the pages are there only while they are full.
"""

TURNS: Final = 16
"""Moves in a row before others have their turn."""

_buffer = bytearray()


def widen(pipe: int) -> None:
    """Lets a pipe hold `PIPE` bytes, if it may."""
    with contextlib.suppress(OSError):  # the limit of a user without privileges: see pipe(7)
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE)


async def splice(loop: Loop, source: int, sink: int) -> None:
    """Moves all of pipe *source* into pipe *sink*. Raises OSError of the sink (EPIPE: nobody can read it)."""
    while True:
        await loop.readable(source)
        await loop.writable(sink)
        try:
            for _ in range(TURNS):
                if os.splice(source, sink, PIPE, flags=os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE) == 0:
                    return
        except BlockingIOError:
            continue


async def copy(loop: Loop, source: int, sink: int) -> None:
    """Moves all of *source* into *sink*; the end of a terminal (EIO) is an end. Raises OSError of the sink."""
    while True:
        await loop.readable(source)
        for _ in range(TURNS):
            data = _read(source)
            if data is None:
                break
            if not data:
                return
            await _write_all(loop, sink, data)


async def consume(loop: Loop, source: int, take: Callable[[bytes], None]) -> None:
    """Gives all of *source* to *take*, which never waits; the end of a terminal (EIO) is an end."""
    while True:
        await loop.readable(source)
        data = _taken(source)
        if data is None:
            continue
        if not data:
            return
        take(data)


def take_ready(source: int, take: Callable[[bytes], None]) -> None:
    """Gives what *source* holds now to *take*; it must not block."""
    for _ in range(TURNS):
        data = _taken(source)
        if not data:
            return
        take(data)


async def discard(loop: Loop, source: int) -> None:
    """Reads all of *source* to nowhere."""
    while True:
        await loop.readable(source)
        data = _read(source)
        if data is not None and not data:
            return


def _read(source: int) -> memoryview | None:
    """What is there, None if nothing is, empty at the end. Good until the next read of anyone."""
    if not _buffer:
        _buffer.extend(bytes(CHUNK))
    try:
        return memoryview(_buffer)[: os.readv(source, [_buffer])]
    except OSError as error:
        end = _meaning(error)
        return None if end is None else memoryview(end)


def _taken(source: int) -> bytes | None:
    """As `_read`, but to be kept."""
    try:
        return os.read(source, CHUNK)
    except OSError as error:
        return _meaning(error)


def _meaning(error: OSError) -> bytes | None:
    """What a read that failed means: as `_read`. Raises *error* if it means something else."""
    if isinstance(error, BlockingIOError):
        return None
    if error.errno == errno.EIO:  # the other side of a terminal is closed: tty_ioctl(4)
        return b""
    raise error


async def _write_all(loop: Loop, sink: int, data: memoryview) -> None:
    while True:
        with contextlib.suppress(BlockingIOError):
            data = data[os.write(sink, data) :]
        if not data:
            return
        data = memoryview(bytes(data))  # others use the buffer while we wait
        await loop.writable(sink)
