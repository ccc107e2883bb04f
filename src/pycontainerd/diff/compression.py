"""Compressed streams, told by their first bytes: gzip (RFC 1952) and zstd (RFC 8878); anything else is plain."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import IO, Final, cast

import zstandard
from isal import igzip_lib

from pycontainerd.diff.tar.errors import CutShort
from pycontainerd.diff.zstd_frames import FrameScanner
from pycontainerd.errors import Unknown

SNIFFED: Final = 10
"""Bytes that tell."""

READ_SIZE: Final = 256 * 1024
PIECE_SIZE: Final = 512 * 1024
"""The most that one piece of a plain stream is: what a bomb may fill of our memory at once."""

_FIRST_SLICE: Final = 4 * 1024

ZSTD_WINDOW_LIMIT: Final = 128 << 20

_GZIP: Final = b"\x1f\x8b\x08"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE: Final = 0x184D2A50

_GzipError: Final = cast("type[Exception]", igzip_lib.IsalError)

Read = Callable[[int], bytes]
"""Reads up to so many bytes, none only at the end."""


def plain_pieces(read: Read, *, sniff: bool) -> Iterator[bytes]:
    """The plain stream in pieces. Raises Unknown for damage, CutShort if it ends too early.

    Without *sniff* the stream is taken as it is.
    """
    head = b""
    while sniff and len(head) < SNIFFED:
        more = read(READ_SIZE)
        if not more:
            break
        head += more
    if head.startswith(_GZIP):
        yield from _gunzip(head, read)
    elif _is_zstd(head):
        yield from _unzstd(head, read)
    else:
        while head:
            yield head
            head = read(READ_SIZE)
        while not sniff and (head := read(READ_SIZE)):
            yield head


def _is_zstd(head: bytes) -> bool:
    if head.startswith(_ZSTD):
        return True
    return len(head) >= 8 and struct.unpack_from("<I", head)[0] & ~0xF == _ZSTD_SKIPPABLE


def _gunzip(data: bytes, read: Read) -> Iterator[bytes]:
    """All members, one after the other. What follows the last one and is no member is passed over, as gzip(1) does."""
    source = _Slices(data, read)
    while source.peek(2) == _GZIP[:2]:
        yield from _member(source)
    while source.take(READ_SIZE):
        pass


def _member(source: _Slices) -> Iterator[bytes]:
    member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
    # What a member leaves of its input is copied: of thousands of tiny ones each would copy all that follow it.
    data = source.take(_FIRST_SLICE)
    while True:
        try:
            piece = member.decompress(data, PIECE_SIZE)
        except _GzipError as error:
            raise Unknown(f"gzip: {_gzip_text(error)}") from error
        if piece:
            yield piece
        if member.eof:
            source.give_back(len(member.unused_data))
            return
        data = b""
        if member.needs_input:
            data = source.take(READ_SIZE)
            if not data:
                raise CutShort


class _Slices:
    """A stream in slices, of which the end may be given back."""

    def __init__(self, data: bytes, read: Read) -> None:
        self._data = data
        self._position = 0
        self._read = read

    def peek(self, size: int) -> bytes:
        """The next *size* bytes, which remain; fewer only at the end."""
        while len(self._data) - self._position < size and (more := self._read(READ_SIZE)):
            self._data, self._position = self._data[self._position :] + more, 0
        return self._data[self._position : self._position + size]

    def take(self, size: int) -> bytes:
        """Up to *size* bytes, none only at the end."""
        if self._position == len(self._data):
            self._data, self._position = self._read(READ_SIZE), 0
        taken = self._data[self._position : self._position + size]
        self._position += len(taken)
        return taken

    def give_back(self, count: int) -> None:
        """The last *count* bytes of the last slice come again."""
        self._position -= count


def _gzip_text(error: Exception) -> str:
    text = str(error)
    return "invalid checksum" if "checksum" in text.lower() else f"invalid data ({text})"


def _unzstd(data: bytes, read: Read) -> Iterator[bytes]:
    """All frames, one after the other, skippable ones passed over."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_LIMIT)
    source = _Source(data, read)
    stream_of = cast("IO[bytes]", source)
    with decompressor.stream_reader(stream_of, read_size=READ_SIZE, read_across_frames=True, closefd=False) as stream:
        while True:
            try:
                piece = stream.read(PIECE_SIZE)
            except zstandard.ZstdError as error:
                raise Unknown(f"zstd: {error}") from error
            if not piece:
                break
            yield piece
    if not source.scanner.complete:
        raise CutShort


class _Source:
    """What zstandard reads from: the bytes that were looked at, then the rest."""

    def __init__(self, head: bytes, read: Read) -> None:
        self._head = head
        self._read = read
        self.scanner = FrameScanner()

    def read(self, size: int) -> bytes:
        head, self._head = self._head[:size], self._head[size:]
        data = head or self._read(size)
        self.scanner.feed(data)
        return data
