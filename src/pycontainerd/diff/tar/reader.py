"""The members of an archive in order, from a stream that comes in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pycontainerd.diff.tar import header as header_types
from pycontainerd.diff.tar import pax, sparse
from pycontainerd.diff.tar.errors import (
    CutShort,
    FieldTooLong,
    InvalidHeader,
    MissingData,
    UnreferencedData,
)
from pycontainerd.diff.tar.header import (
    BLOCK,
    DIRECTORY,
    GNU,
    GNU_SPARSE,
    HEADER_ONLY,
    REGULAR,
    REGULAR_V7,
    ZERO_BLOCK,
    Entry,
    Header,
    parse,
    text,
)

SPECIAL_LIMIT: Final = 1 << 20
"""Bytes of an extended header or a long name."""


class Pieces:
    """A stream of bytes that comes in pieces, read in other pieces."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = b""
        self._position = 0

    def read(self, size: int) -> bytes:
        """*size* bytes, fewer only at the end."""
        position = self._position
        end = position + size
        if end <= len(self._piece):
            self._position = end
            return self._piece[position:end]
        return b"".join(self.views(size))

    def views(self, size: int) -> Iterator[memoryview | bytes]:
        """The next *size* bytes in pieces that aren't copied, fewer only at the end."""
        while size:
            position = self._position
            left = len(self._piece) - position
            if not left:
                piece = next(self._pieces, None)
                if piece is None:
                    return
                self._piece, self._position = piece, 0
                continue
            taken = min(size, left)
            self._position = position + taken
            size -= taken
            yield memoryview(self._piece)[position : position + taken]

    def skip(self, size: int) -> None:
        """Passes over *size* bytes. Raises CutShort if there are fewer."""
        end = self._position + size
        if end <= len(self._piece):
            self._position = end
            return
        for view in self.views(size):
            size -= len(view)
        if size:
            raise CutShort


class Reader:
    """Iterates over the entries. The data of an entry is to be had until the next one is asked for."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces
        self._left = 0
        """Bytes of data of this entry that nobody has taken."""
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        return self

    def __next__(self) -> Entry:
        """The next entry. Raises StopIteration at the end, InvalidHeader, FieldTooLong, CutShort."""
        records: dict[bytes, bytes] = {}
        long_name = long_link = b""
        while True:
            header = self._next_header()
            match header.entry.type:
                case header_types.PAX:
                    records = pax.parse(self._special(header))
                case header_types.PAX_GLOBAL:
                    pax.parse(self._special(header))
                    return header.entry
                case header_types.GNU_LONG_NAME:
                    long_name = text(self._special(header))
                case header_types.GNU_LONG_LINK:
                    long_link = text(self._special(header))
                case _:
                    return self._member(header, records, long_name, long_link)

    def _next_header(self) -> Header:
        if self._left or self._padding:
            self._pieces.skip(self._left + self._padding)
            self._left = self._padding = 0
        block = self._pieces.read(BLOCK)
        if not block:
            raise StopIteration
        if len(block) < BLOCK:
            raise CutShort
        if not block[0] and block == ZERO_BLOCK:
            following = self._pieces.read(BLOCK)
            if following in {b"", ZERO_BLOCK}:
                raise StopIteration
            raise CutShort if len(following) < BLOCK else InvalidHeader
        header = parse(block)
        stored = 0 if header.entry.type in HEADER_ONLY else header.stored
        self._set_data(stored)
        return header

    def _set_data(self, stored: int) -> None:
        self._left = stored
        self._padding = -stored % BLOCK

    def _special(self, header: Header) -> bytes:
        """The data of an entry that describes others."""
        if header.stored > SPECIAL_LIMIT:
            raise FieldTooLong
        return self._take(header.stored)

    def _take(self, size: int) -> bytes:
        data = self._pieces.read(size)
        self._left -= len(data)
        if len(data) < size:
            raise CutShort
        return data

    def _member(self, header: Header, records: dict[bytes, bytes], long_name: bytes, long_link: bytes) -> Entry:
        entry = header.entry
        if records:
            pax.apply(records, entry)
            if entry.type not in HEADER_ONLY and entry.size != header.stored:
                if entry.size < 0:
                    raise InvalidHeader
                self._set_data(entry.size)
        entry.name = long_name or entry.name
        entry.link_name = long_link or entry.link_name
        if entry.type == REGULAR_V7:
            entry.type = DIRECTORY if entry.name.endswith(b"/") else REGULAR
        if entry.type == GNU_SPARSE:
            if header.format != GNU:
                raise InvalidHeader
            entry.sparse = sparse.read_old_gnu(header.block, entry, self._map_block)
            entry.type = REGULAR
        elif records:
            entry.sparse = sparse.read_pax(records, entry, self._data_block)
        if entry.sparse is not None:
            sparse.validated(entry.sparse, entry.size)
        return entry

    def _map_block(self) -> bytes:
        """A block that belongs to the header and isn't counted in the size."""
        block = self._pieces.read(BLOCK)
        if len(block) < BLOCK:
            raise CutShort
        return block

    def _data_block(self) -> bytes:
        """A block of the entry's data."""
        if self._left < BLOCK:
            raise CutShort
        return self._take(BLOCK)

    def data(self) -> Iterator[memoryview | bytes]:
        """The rest of the stored data of this entry. Raises CutShort."""
        for view in self._pieces.views(self._left):
            self._left -= len(view)
            yield view
        if self._left:
            raise CutShort

    def whole(self, size: int) -> bytes:
        """The data of a small entry in one piece; *size* is all of it. Raises CutShort."""
        data = self._pieces.read(size)
        if len(data) < size:
            raise CutShort
        self._left = 0
        return data

    def fragments(self, entry: Entry) -> Iterator[tuple[int, memoryview | bytes]]:
        """The data of a sparse file with the offset of each piece. Raises CutShort, MissingData, UnreferencedData."""
        for start, length in entry.sparse or ():
            if length > self._left:
                raise MissingData
            offset = start
            for view in self._pieces.views(length):
                self._left -= len(view)
                yield offset, view
                offset += len(view)
            if offset != start + length:
                raise CutShort
        if self._left:
            raise UnreferencedData
