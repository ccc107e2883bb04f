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
    while data.startswith(_GZIP[:2]):
        member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        while not member.eof:
            try:
                piece = member.decompress(data, PIECE_SIZE)
            except _GzipError as error:
                raise Unknown(f"gzip: {_gzip_text(error)}") from error
            if piece:
                yield piece
            data = b""
            if member.needs_input and not member.eof:
                data = read(READ_SIZE)
                if not data:
                    raise CutShort
        data = member.unused_data
        while len(data) < 2 and (more := read(READ_SIZE)):
            data += more
    while data:
        data = read(READ_SIZE)


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
