"""Maps of sparse files, in GNU tar's four formats; see "Storing Sparse Files" in its manual."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pycontainerd.diff.tar.errors import FieldTooLong, InvalidHeader
from pycontainerd.diff.tar.header import BLOCK, Entry, number
from pycontainerd.diff.tar.pax import SPARSE_MAP, integer

Map = list[tuple[int, int]]

MAP_LIMIT: Final = 1 << 20
"""The most fragments that a map may have: a hostile one must not fill our memory."""

_IN_HEADER: Final = 4
_IN_EXTENSION: Final = 21
_FRAGMENT: Final = 24


def read_old_gnu(block: bytes, entry: Entry, read_block: Callable[[], bytes]) -> Map:
    """Type `S`: four fragments in the header block, 21 in each block that follows. Sets the entry's size."""
    entry.size = number(block[483:495])
    fragments: Map = []
    _fragments(block[386:], _IN_HEADER, fragments)
    extended = block[482]
    while extended:
        extension = read_block()
        _fragments(extension, _IN_EXTENSION, fragments)
        extended = extension[504]
    return fragments


def _fragments(data: bytes, count: int, fragments: Map) -> None:
    for start in range(0, count * _FRAGMENT, _FRAGMENT):
        if not data[start]:
            break
        fragments.append((number(data[start : start + 12]), number(data[start + 12 : start + 24])))
    if len(fragments) > MAP_LIMIT:
        raise FieldTooLong


def read_pax(records: dict[bytes, bytes], entry: Entry, read_block: Callable[[], bytes]) -> Map | None:
    """The map that PAX records announce, None if this is no sparse file of a version known. Sets name and size."""
    major, minor = records.get(b"GNU.sparse.major", b""), records.get(b"GNU.sparse.minor", b"")
    if (major, minor) == (b"1", b"0"):
        in_data = True
    elif (major, minor) in {(b"0", b"0"), (b"0", b"1")} or (not major and not minor and records.get(SPARSE_MAP)):
        in_data = False
    else:
        return None
    if name := records.get(b"GNU.sparse.name"):
        entry.name = name
    if size := records.get(b"GNU.sparse.size") or records.get(b"GNU.sparse.realsize"):
        entry.size = integer(size)
    return _from_data(read_block) if in_data else _from_record(records)


def _from_record(records: dict[bytes, bytes]) -> Map:
    """Formats 0.0 and 0.1: numbers between commas, their count in a record of its own."""
    count = integer(records.get(b"GNU.sparse.numblocks", b""))
    numbers = [integer(part) for part in records.get(SPARSE_MAP, b"").split(b",") if part] if count else []
    if count < 0 or len(numbers) != 2 * count:
        raise InvalidHeader
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _from_data(read_block: Callable[[], bytes]) -> Map:
    """Format 1.0: decimal lines before the data, filled up to a block; the first is the number of fragments."""
    pending = bytearray(read_block())

    def line() -> int:
        while (end := pending.find(b"\n")) < 0:
            if len(pending) > BLOCK:
                raise InvalidHeader  # no number is that long
            pending.extend(read_block())
        token = bytes(pending[:end])
        del pending[: end + 1]
        return integer(token)

    count = line()
    if count < 0:
        raise InvalidHeader
    if count > MAP_LIMIT:
        raise FieldTooLong
    return [(line(), line()) for _ in range(count)]


def validated(fragments: Map, size: int) -> Map:
    """*fragments* if they are in order, apart and within a file of *size* bytes. Raises InvalidHeader."""
    if size < 0:
        raise InvalidHeader
    end = 0
    for offset, length in fragments:
        if offset < 0 or length < 0 or offset + length > size or end > offset:
            raise InvalidHeader
        end = offset + length
    return fragments
