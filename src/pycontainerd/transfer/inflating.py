"""An archive that comes compressed, made plain piece by piece: gzip and zstd, told by their first bytes."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from typing import Final, cast

import zstandard
from isal import igzip_lib

from pycontainerd.errors import Unknown
from pycontainerd.threads import Threads

_SNIFFED: Final = 10
_GZIP: Final = b"\x1f\x8b\x08"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE: Final = 0x184D2A50
_WINDOW_LIMIT: Final = 128 << 20
_PIECE: Final = 512 * 1024
"""The most that one piece of a plain stream is: what a bomb may fill of our memory at once."""

_ZSTD_FEED: Final = 256
"""Compressed bytes that the zstd decoder gets at once. It gives all that they mean: 4 can be 128 KiB."""

_GZIP_FEED: Final = 16 * 1024

_GzipError: Final = cast("type[Exception]", igzip_lib.IsalError)


async def plain(pieces: AsyncIterator[bytes], threads: Threads) -> AsyncIterator[bytes]:
    """The plain bytes of *pieces*. Raises Unknown for damage or an early end."""
    head = b""
    while len(head) < _SNIFFED and (piece := await anext(pieces, None)) is not None:
        head += piece
    if head.startswith(_GZIP):
        decoder: _Gunzip | _Unzstd = _Gunzip()
    elif _is_zstd(head):
        decoder = _Unzstd()
    else:
        if head:
            yield head
        async for piece in pieces:
            yield piece
        return
    compressed: bytes | None = head
    while compressed is not None:
        decoder.feed(compressed)
        while out := await threads.run(decoder.next_piece):
            yield out
        compressed = await anext(pieces, None)
    decoder.finish()


def _is_zstd(head: bytes) -> bool:
    if head.startswith(_ZSTD):
        return True
    return len(head) >= 8 and struct.unpack_from("<I", head)[0] & ~0xF == _ZSTD_SKIPPABLE


class _Gunzip:
    """Members of RFC 1952, one after the other."""

    def __init__(self) -> None:
        self._member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        self._fed = _Fed(_GZIP_FEED)

    def feed(self, data: bytes) -> None:
        self._fed.add(data)

    def next_piece(self) -> bytes:
        """Up to _PIECE plain bytes; none when more compressed ones are needed."""
        while True:
            if self._member.eof:
                if not self._fed:
                    return b""
                self._member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
            data = self._fed.take() if self._member.needs_input else b""
            if not data and self._member.needs_input:
                return b""
            try:
                piece: bytes = self._member.decompress(data, _PIECE)
            except _GzipError as error:
                raise Unknown(f"gzip: {error}") from error
            if self._member.eof:
                self._fed.give_back(len(self._member.unused_data))
            if piece:
                return piece

    def finish(self) -> None:
        if not self._member.eof:
            raise Unknown("unexpected EOF")


class _Unzstd:
    """Frames of RFC 8878, one after the other."""

    def __init__(self) -> None:
        self._frames = zstandard.ZstdDecompressor(max_window_size=_WINDOW_LIMIT)
        self._decoder = self._frames.decompressobj()
        self._fed = _Fed(_ZSTD_FEED)

    def feed(self, data: bytes) -> None:
        self._fed.add(data)

    def next_piece(self) -> bytes:
        """About _PIECE plain bytes; none when more compressed ones are needed."""
        out: list[bytes] = []
        size = 0
        while self._fed and size < _PIECE:
            if self._decoder.eof:
                self._decoder = self._frames.decompressobj()
            try:
                piece = self._decoder.decompress(self._fed.take())
            except zstandard.ZstdError as error:
                raise Unknown(f"zstd: {error}") from error
            if self._decoder.eof:
                self._fed.give_back(len(self._decoder.unused_data))
            out.append(piece)
            size += len(piece)
        return b"".join(out)

    def finish(self) -> None:
        if not self._decoder.eof:
            raise Unknown("unexpected EOF")


class _Fed:
    """Compressed bytes that a decoder gets in slices, so that what a short frame leaves of one costs little."""

    def __init__(self, slice_size: int) -> None:
        self._slice_size = slice_size
        self._data = b""
        self._position = 0

    def __bool__(self) -> bool:
        return self._position < len(self._data)

    def add(self, data: bytes) -> None:
        self._data = self._data[self._position :] + data
        self._position = 0

    def take(self) -> bytes:
        part = self._data[self._position : self._position + self._slice_size]
        self._position += len(part)
        return part

    def give_back(self, count: int) -> None:
        """Undoes the last *count* bytes of the last `take`."""
        self._position -= count
