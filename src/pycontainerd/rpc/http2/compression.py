"""Header compression (RFC 7541).

What we send refers to the static table only, and our first block on a connection says that our table has no room: so
blocks are the same on every connection, can be made once, and our own peers know them again by their bytes. What we
receive may use all of the format; the library `hpack` is loaded for its Huffman code when a peer first uses that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from pycontainerd.rpc.http2.frames import ErrorCode, ProtocolError
from pycontainerd.rpc.http2.static_table import NAMES, STATIC, STATIC_COUNT, WHOLE, Field

NO_TABLE: Final = b"\x20"
"""A size update to 0: stands before the first block that we send on a connection."""

TABLE_SIZE: Final = 4096
_CACHE_ENTRIES: Final = 256
_CACHE_BLOCK: Final = 1024
_ENTRY_OVERHEAD: Final = 32
_INTEGER_LIMIT: Final = 1 << 28


def encode(fields: Iterable[Field]) -> bytes:
    """The block of *fields*, independent of any connection."""
    return b"".join([encode_field(name, value) for name, value in fields])


def encode_field(name: bytes, value: bytes) -> bytes:
    """One field, by the static table where it has it, otherwise as a literal that is in no table."""
    index = WHOLE.get((name, value))
    if index is not None:
        return bytes((0x80 | index,))
    index = NAMES.get(name)
    if index is not None:
        return _integer(index, 15) + _integer(len(value), 127) + value
    return b"\x00" + _integer(len(name), 127) + name + _integer(len(value), 127) + value


def _integer(number: int, prefix: int) -> bytes:
    if number < prefix:
        return bytes((number,))
    out = bytearray((prefix,))
    number -= prefix
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


class HeaderBlock:
    """The fields of one block, and what was found out about them: a block that comes again is looked at once."""

    __slots__ = ("fields", "parsed", "promised", "trails")

    def __init__(self, fields: tuple[Field, ...]) -> None:
        self.fields = fields
        self.parsed: Any = None
        """What the layer above made of them."""
        self.promised: int | None = None
        """The content length of a checked head, -1 for none; None: not checked as a head."""
        self.trails = False
        """Whether they were found good as trailers."""


class Decoder:
    """One direction of a connection: blocks to fields, in the order in which they come.

    A block that came before while the table was the same means the same: such blocks are known by their bytes.
    """

    __slots__ = ("_cache", "_entries", "_limit", "_list_limit", "_size")

    def __init__(self, list_limit: int) -> None:
        self._list_limit = list_limit
        self._entries: deque[Field] = deque()
        self._size = 0
        self._limit = TABLE_SIZE
        self._cache: dict[bytes, HeaderBlock] = {}

    def decode(self, block: bytes) -> HeaderBlock:
        """The fields of *block*. Raises ProtocolError for what is no block, or longer than the limit."""
        known = self._cache.get(block)
        if known is not None:
            return known
        try:
            fields, changed = self._decode(block)
        except IndexError:
            raise ProtocolError(ErrorCode.COMPRESSION_ERROR, "header block is cut off or names no entry") from None
        decoded = HeaderBlock(tuple(fields))
        if changed:
            self._cache.clear()
        elif len(block) <= _CACHE_BLOCK:
            if len(self._cache) >= _CACHE_ENTRIES:
                self._cache.clear()
            self._cache[block] = decoded
        return decoded

    def _decode(self, block: bytes) -> tuple[list[Field], bool]:
        fields: list[Field] = []
        changed = False
        position, end, total = 0, len(block), 0
        while position < end:
            first = block[position]
            if first >= 0x80:
                index, position = _read_integer(block, position, 0x7F)
                field = self._entry(index)
            elif first >= 0x40:
                field, position = self._literal(block, position, 0x3F)
                self._add(field)
                changed = True
            elif first >= 0x20:
                position = self._resize(block, position, first=not fields)
                changed = True
                continue
            else:
                field, position = self._literal(block, position, 0x0F)
            total += len(field[0]) + len(field[1]) + _ENTRY_OVERHEAD
            if total > self._list_limit:
                raise ProtocolError(ErrorCode.ENHANCE_YOUR_CALM, f"header list over {self._list_limit} bytes")
            fields.append(field)
        return fields, changed

    def _entry(self, index: int) -> Field:
        if index < STATIC_COUNT:
            if not index:
                raise IndexError
            return STATIC[index]
        return self._entries[index - STATIC_COUNT]

    def _literal(self, block: bytes, position: int, mask: int) -> tuple[Field, int]:
        index, position = _read_integer(block, position, mask)
        if index:
            name = self._entry(index)[0]
        else:
            name, position = _read_string(block, position)
        value, position = _read_string(block, position)
        return (name, value), position

    def _resize(self, block: bytes, position: int, *, first: bool) -> int:
        limit, position = _read_integer(block, position, 0x1F)
        if not first or limit > TABLE_SIZE:
            raise ProtocolError(ErrorCode.COMPRESSION_ERROR, "table size update in the wrong place or too large")
        self._limit = limit
        self._evict()
        return position

    def _add(self, field: Field) -> None:
        self._entries.appendleft(field)
        self._size += len(field[0]) + len(field[1]) + _ENTRY_OVERHEAD
        self._evict()

    def _evict(self) -> None:
        while self._size > self._limit:
            name, value = self._entries.pop()
            self._size -= len(name) + len(value) + _ENTRY_OVERHEAD


def _read_integer(block: bytes, position: int, mask: int) -> tuple[int, int]:
    number = block[position] & mask
    position += 1
    if number < mask:
        return number, position
    shift = 0
    while True:
        part = block[position]
        position += 1
        number += (part & 127) << shift
        if number > _INTEGER_LIMIT or shift > 28:
            raise ProtocolError(ErrorCode.COMPRESSION_ERROR, "number in a header block is too large")
        if part < 128:
            return number, position
        shift += 7


def _read_string(block: bytes, position: int) -> tuple[bytes, int]:
    compressed = block[position] >= 0x80
    length, position = _read_integer(block, position, 0x7F)
    end = position + length
    if end > len(block):
        raise IndexError
    text = block[position:end]
    return (_huffman(text) if compressed else text), end


def _huffman(text: bytes) -> bytes:
    from hpack.exceptions import HPACKDecodingError
    from hpack.huffman_table import decode_huffman

    try:
        return bytes(decode_huffman(text))
    except HPACKDecodingError as error:
        raise ProtocolError(ErrorCode.COMPRESSION_ERROR, str(error)) from None
