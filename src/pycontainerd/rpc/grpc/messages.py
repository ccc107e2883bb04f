"""Messages within the data of a stream: five bytes before each tell whether it is compressed, and its length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final

from google.protobuf.message import Message

from pycontainerd.errors import Error, Internal, ResourceExhausted, Unimplemented
from pycontainerd.rpc.encoded import Encoded
from pycontainerd.rpc.http2.outbound import Piece
from pycontainerd.rpc.service import encoded

MESSAGE_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of a message, both ways: the default of the original."""

PREFIX: Final = Struct(">BI")
_PREFIX_SIZE: Final = 5
_JOIN_BELOW: Final = 4096

ENCODINGS: Final = b"gzip,identity"
"""What we can read; we write identity."""

Decompress = Callable[[bytes, int], bytes]


def decompressor(encoding: bytes) -> Decompress | None:
    """What undoes *encoding*. Raises Unimplemented for an unknown one."""
    if encoding == b"identity":
        return None
    if encoding == b"gzip":
        return _gunzip
    raise Unimplemented(
        f'grpc: Decompressor is not installed for grpc-encoding "{encoding.decode(errors="replace")}"', bare=True
    )


def framed(message: Message | Encoded | bytes, limit: int) -> tuple[list[Piece], int]:
    """*message* as it goes into the data of a stream, in pieces, and their size. Raises ResourceExhausted."""
    if isinstance(message, Encoded):
        size = message.size
        pieces: list[Piece] = [PREFIX.pack(0, size & 0xFFFFFFFF), *message.pieces]
    else:
        data = encoded(message)
        size = len(data)
        pieces = [PREFIX.pack(0, size) + data] if size < _JOIN_BELOW else [PREFIX.pack(0, size), data]
    if size > limit:
        raise ResourceExhausted(f"trying to send message larger than max ({size} vs. {limit})", bare=True)
    return pieces, size + _PREFIX_SIZE


def only_message(piece: bytes | memoryview) -> bytes | None:
    """The message, if *piece* is exactly one plain message, as the data of most calls is."""
    size = len(piece)
    if size < _PREFIX_SIZE or PREFIX.unpack_from(piece) != (0, size - _PREFIX_SIZE):
        return None
    return bytes(piece[_PREFIX_SIZE:])


class Assembler:
    """Pieces of data to whole messages of up to *limit* bytes."""

    __slots__ = ("_compressed", "_limit", "_need", "_pieces", "_size", "decompress")

    def __init__(self, limit: int, decompress: Decompress | None = None) -> None:
        self._limit = limit
        self.decompress = decompress
        self._pieces: list[bytes | memoryview] = []
        self._size = 0
        self._need = -1
        self._compressed = False

    def feed(self, pieces: Sequence[bytes | memoryview]) -> list[tuple[bytes, int]]:
        """The messages that *pieces* complete, each with the bytes that it took on the wire.

        Raises ResourceExhausted for one over the limit, Internal for what is none.
        """
        out: list[tuple[bytes, int]] = []
        self._pieces += pieces
        self._size += sum(map(len, pieces))
        while self._begin() and self._size >= self._need:
            message = self._take(self._need)
            self._need = -1
            size = len(message) + _PREFIX_SIZE
            out.append((self._plain(message) if self._compressed else message, size))
        return out

    @property
    def cut_off(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._size > 0 or self._need >= 0

    def _begin(self) -> bool:
        """Reads the five bytes before the next message, if they are there."""
        if self._need >= 0:
            return True
        if self._size < _PREFIX_SIZE:
            return False
        compressed, length = PREFIX.unpack(self._take(_PREFIX_SIZE))
        if compressed > 1:
            raise Internal(f"grpc: received unexpected payload format {compressed}", bare=True)
        if length > self._limit:
            raise _too_large(length, self._limit)
        self._compressed = bool(compressed)
        self._need = length
        return True

    def _take(self, size: int) -> bytes:
        self._size -= size
        pieces = self._pieces
        first = pieces[0] if pieces else b""
        if len(first) > size:
            pieces[0] = memoryview(first)[size:]
            return bytes(first[:size])
        count, left = 0, size
        while count < len(pieces) and len(pieces[count]) <= left:
            left -= len(pieces[count])
            count += 1
        taken = pieces[:count]
        del pieces[:count]
        if left:
            rest = memoryview(pieces[0])
            taken.append(rest[:left])
            pieces[0] = rest[left:]
        return b"".join(taken)

    def _plain(self, message: bytes) -> bytes:
        if self.decompress is None:
            raise Internal("grpc: compressed flag set with identity or empty encoding", bare=True)
        return self.decompress(message, self._limit)


def _too_large(size: int, limit: int) -> Error:
    return ResourceExhausted(f"grpc: received message larger than max ({size} vs. {limit})", bare=True)


def _gunzip(data: bytes, limit: int) -> bytes:
    import zlib

    inflater = zlib.decompressobj(wbits=31)
    try:
        plain = inflater.decompress(data, limit + 1)
    except zlib.error as error:
        raise Internal(f"grpc: failed to decompress the received message: {error}", bare=True) from None
    if len(plain) > limit:
        raise ResourceExhausted(f"grpc: message after decompression larger than max ({limit})", bare=True)
    if not inflater.eof:
        raise Internal("grpc: failed to decompress the received message: unexpected EOF", bare=True)
    return plain
