"""Frames of ttrpc: plain functions of bytes.

| bytes | meaning, big endian |
| --- | --- |
| 0-3 | length of the data that follows the header, at most 4 MiB |
| 4-7 | stream id |
| 8 | type: request 1, response 2, data 3 |
| 9 | flags: remote closed 1, remote open 2, no data 4 |
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from pycontainerd.errors import ResourceExhausted

REQUEST: Final = 1
RESPONSE: Final = 2
DATA: Final = 3

REMOTE_CLOSED: Final = 1
REMOTE_OPEN: Final = 2
NO_DATA: Final = 4

DATA_LIMIT: Final = 4 << 20
"""Bytes of data that one frame may carry."""

HEADER: Final = struct.Struct(">IIBB")


class Frame(NamedTuple):
    """One frame as it arrived."""

    stream: int
    type: int
    flags: int
    data: bytes


class Oversized(NamedTuple):
    """A frame that promised more than the limit; its data is skipped."""

    stream: int
    type: int
    length: int


def encode(stream: int, type_: int, flags: int, data: bytes = b"") -> bytes:
    """The bytes of a frame. Raises ResourceExhausted if *data* is over the limit."""
    if len(data) > DATA_LIMIT:
        raise too_large(len(data))
    return HEADER.pack(len(data), stream, type_, flags) + data


def too_large(length: int) -> ResourceExhausted:
    """The error for a message of *length* bytes, in the words of the original."""
    return ResourceExhausted(f"message length {length} exceed maximum message size of {DATA_LIMIT}", bare=True)


class FrameDecoder:
    """Cuts a stream of bytes into frames, wherever the pieces were cut."""

    __slots__ = ("_buffer", "_skip")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip = 0

    def feed(self, data: bytes) -> list[Frame | Oversized]:
        """Takes the next piece; returns the frames that it completes."""
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        if self._buffer:
            self._buffer += data
            frames, used = self._cut(self._buffer)
            del self._buffer[:used]
        else:
            frames, used = self._cut(data)
            self._buffer += data[used:]
        return frames

    def _cut(self, buffer: bytes | bytearray) -> tuple[list[Frame | Oversized], int]:
        frames: list[Frame | Oversized] = []
        start = 0
        while len(buffer) - start >= HEADER.size:
            length, stream, type_, flags = HEADER.unpack_from(buffer, start)
            body = start + HEADER.size
            end = body + length
            if length > DATA_LIMIT:
                frames.append(Oversized(stream, type_, length))
                start = min(end, len(buffer))
                self._skip = end - start
                continue
            if end > len(buffer):
                break
            frames.append(Frame(stream, type_, flags, bytes(buffer[body:end])))
            start = end
        return frames, start
