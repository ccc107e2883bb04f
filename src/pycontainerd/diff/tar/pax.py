"""PAX records, `<length> <key>=<value>\n`, and what they change of an entry; see pax(1), "pax Header Block"."""

from __future__ import annotations

import re
from typing import Final

from pycontainerd.diff.tar.errors import InvalidHeader
from pycontainerd.diff.tar.header import Entry

XATTR_PREFIX: Final = b"SCHILY.xattr."
SPARSE_MAP: Final = b"GNU.sparse.map"

_OFFSET: Final = b"GNU.sparse.offset"
_NUMBYTES: Final = b"GNU.sparse.numbytes"
_TEXT_KEYS: Final = frozenset({b"path", b"linkpath", b"uname", b"gname"})
_INTEGER: Final = re.compile(rb"[+-]?[0-9]+")
_TIME: Final = re.compile(rb"([+-]?[0-9]+)(?:\.([0-9]*))?")
_LIMIT: Final = 1 << 63


def parse(data: bytes) -> dict[bytes, bytes]:
    """The records of one extended header; of equal keys the last counts. Raises InvalidHeader."""
    records: dict[bytes, bytes] = {}
    sparse: list[bytes] = []
    position = 0
    while position < len(data):
        position, key, value = _record(data, position)
        if key in {_OFFSET, _NUMBYTES}:
            # Format 0.0 repeats the two keys in turn: the map is in their order.
            if key != (_NUMBYTES if len(sparse) % 2 else _OFFSET) or b"," in value:
                raise InvalidHeader
            sparse.append(value)
        else:
            records[key] = value
    if sparse:
        records[SPARSE_MAP] = b",".join(sparse)
    return records


def _record(data: bytes, position: int) -> tuple[int, bytes, bytes]:
    """The end of the record at *position*, its key and its value."""
    blank = data.find(b" ", position, position + 20)
    digits = data[position:blank]
    if blank < 0 or not digits.isdigit():
        raise InvalidHeader
    end = position + int(digits)
    if int(digits) < 5 or end > len(data) or data[end - 1 : end] != b"\n" or end - 1 <= blank:
        raise InvalidHeader
    key, equals, value = data[blank + 1 : end - 1].partition(b"=")
    if not equals or not key or b"\0" in (value if key in _TEXT_KEYS else key):
        raise InvalidHeader
    return end, key, value


def apply(records: dict[bytes, bytes], entry: Entry) -> None:
    """Puts what *records* say into *entry*; an empty value leaves what the header block says. Raises InvalidHeader."""
    for key, value in records.items():
        if not value:
            continue
        if key.startswith(XATTR_PREFIX):
            entry.xattrs[key[len(XATTR_PREFIX) :]] = value
            continue
        match key:
            case b"path":
                entry.name = value
            case b"linkpath":
                entry.link_name = value
            case b"uid":
                entry.uid = integer(value)
            case b"gid":
                entry.gid = integer(value)
            case b"size":
                entry.size = integer(value)
            case b"mtime":
                entry.mtime_ns = time_ns(value)
            case b"atime":
                entry.atime_ns = time_ns(value)
            case b"ctime":
                time_ns(value)
            case _:
                pass


def integer(value: bytes) -> int:
    """A decimal number of 64 bits. Raises InvalidHeader."""
    if not _INTEGER.fullmatch(value) or len(value) > 20:
        raise InvalidHeader
    result = int(value)
    if not -_LIMIT <= result < _LIMIT:
        raise InvalidHeader
    return result


def time_ns(value: bytes) -> int:
    """Seconds with a fraction, `-1.5`, as nanoseconds; digits after the ninth are dropped. Raises InvalidHeader."""
    match = _TIME.fullmatch(value)
    if match is None:
        raise InvalidHeader
    seconds = integer(match[1])
    nanoseconds = int((match[2] or b"")[:9].ljust(9, b"0"))
    if value.startswith(b"-"):
        nanoseconds = -nanoseconds
    return seconds * 1_000_000_000 + nanoseconds
