"""Where the frames of a zstd stream end (RFC 8878, section 3): the decoder takes a cut stream for a short one."""

from __future__ import annotations

import struct
from collections.abc import Generator
from typing import Final

SKIPPABLE: Final = 0x184D2A50

_RLE_BLOCK: Final = 1
_DICTIONARY_ID_SIZES: Final = (0, 1, 2, 4)
_CONTENT_SIZE_SIZES: Final = (0, 2, 4, 8)


class FrameScanner:
    """Follows a stream that comes in pieces; it may end where `complete` is true."""

    def __init__(self) -> None:
        self.complete = True
        self._between = True
        self._pending = b""
        self._walk = self._frames()
        self._wanted = next(self._walk)

    def feed(self, data: bytes) -> None:
        """Takes the next bytes. What is no zstd at all is the decoder's to refuse: it is passed over here."""
        position = 0
        while position < len(data):
            if self._wanted < 0:
                passed = min(-self._wanted, len(data) - position)
                position += passed
                self._wanted += passed
            else:
                more = data[position : position + self._wanted - len(self._pending)]
                position += len(more)
                self._pending += more
            if self._wanted <= 0 or len(self._pending) == self._wanted:
                taken, self._pending = self._pending, b""
                while not self._wanted or taken:
                    self._wanted, taken = self._walk.send(taken), b""
        self.complete = self._between and not self._pending

    def _frames(self) -> Generator[int, bytes, None]:
        """Yields how many bytes it wants to get, or, as a negative number, to be passed over."""
        while True:
            self._between = True
            (magic,) = struct.unpack("<I", (yield 4))
            self._between = False
            if magic & ~0xF == SKIPPABLE:
                (size,) = struct.unpack("<I", (yield 4))
                yield -size
            else:
                yield from _frame()


def _frame() -> Generator[int, bytes, None]:
    """The rest of a frame: its header, blocks up to the last one, a checksum."""
    (descriptor,) = yield 1
    single = descriptor >> 5 & 1
    content_size = _CONTENT_SIZE_SIZES[descriptor >> 6] or single
    yield -(1 - single + _DICTIONARY_ID_SIZES[descriptor & 3] + content_size)
    last = False
    while not last:
        header = int.from_bytes((yield 3), "little")
        last = bool(header & 1)
        yield -(1 if header >> 1 & 3 == _RLE_BLOCK else header >> 3)
    if descriptor >> 2 & 1:
        yield -4
