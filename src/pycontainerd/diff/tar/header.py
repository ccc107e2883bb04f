"""One header block of 512 bytes; formats as POSIX.1-2017 (pax, "ustar Interchange Format") and GNU tar's manual."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import Final

from pycontainerd.diff.tar.errors import InvalidHeader

BLOCK: Final = 512
ZERO_BLOCK: Final = bytes(BLOCK)

REGULAR: Final = b"0"
REGULAR_V7: Final = b"\0"
LINK: Final = b"1"
SYMLINK: Final = b"2"
CHARACTER: Final = b"3"
BLOCK_DEVICE: Final = b"4"
DIRECTORY: Final = b"5"
FIFO: Final = b"6"
PAX: Final = b"x"
PAX_GLOBAL: Final = b"g"
GNU_LONG_NAME: Final = b"L"
GNU_LONG_LINK: Final = b"K"
GNU_SPARSE: Final = b"S"

HEADER_ONLY: Final = frozenset({LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO})
"""Types without data, whatever their size field says."""

V7: Final = "v7"
USTAR: Final = "ustar"
STAR: Final = "star"
GNU: Final = "gnu"

_FIELDS: Final = struct.Struct("100s8s8s8s12s12s8sc100s8s64x8s8s155s12s")
_LIMIT: Final = 1 << 63
_BLANKS: Final = b" \0"


@dataclass(slots=True, eq=False)
class Entry:
    """One member of an archive as the extraction needs it. Times: nanoseconds since 1970; *atime_ns* may be unknown."""

    name: bytes
    type: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    link_name: bytes
    atime_ns: int | None = None
    device_major: int = 0
    device_minor: int = 0
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    sparse: list[tuple[int, int]] | None = None
    """Offset and length of what a sparse file has data for; *size* is its whole length."""


@dataclass(slots=True, eq=False)
class Header:
    """A header block, parsed; *stored* is the number of bytes of data that follow it."""

    entry: Entry
    format: str
    stored: int
    block: bytes


def parse(block: bytes) -> Header:
    """Parses one block that isn't zero. Raises InvalidHeader."""
    (
        name, mode, uid, gid, size, mtime, checksum, type_, link_name,
        magic, major, minor, prefix, rest,
    ) = _FIELDS.unpack(block)  # fmt: skip
    _verify(block, checksum)
    stored = number(size)
    if stored < 0:
        raise InvalidHeader
    entry = Entry(
        text(name),
        type_,
        number(mode),
        number(uid),
        number(gid),
        stored,
        number(mtime) * 1_000_000_000,
        text(link_name),
    )
    if magic.startswith(b"ustar\0"):
        format_ = STAR if rest[-4:] == b"tar\0" else USTAR
    elif magic == b"ustar  \0":
        format_ = GNU
    else:
        return Header(entry, V7, stored, block)
    if major[0] not in b"0\0" or minor[0] not in b"0\0" or type_ in b"34":
        entry.device_major, entry.device_minor = number(major), number(minor)
    if format_ == USTAR:
        prefix = text(prefix)
    elif format_ == STAR:
        entry.atime_ns = number(prefix[131:143]) * 1_000_000_000
        prefix = text(prefix[:131])
    else:
        prefix = _gnu(entry, prefix)
    if prefix:
        entry.name = prefix + b"/" + entry.name
    return Header(entry, format_, stored, block)


def _gnu(entry: Entry, prefix: bytes) -> bytes:
    """GNU keeps times where ustar has the prefix. Old writers of Go put a prefix there nevertheless."""
    try:
        if prefix[0]:
            entry.atime_ns = number(prefix[:12]) * 1_000_000_000
        if prefix[12]:
            number(prefix[12:24])
    except InvalidHeader:
        entry.atime_ns = None
        prefix = text(prefix)
        if prefix.isascii():
            return prefix
    return b""


def _verify(block: bytes, checksum: bytes) -> None:
    """The sum of all bytes with the field itself as blanks; some old writers summed signed bytes.

    adler32 is the fastest sum that Python has; the sum of 256 bytes is below its modulus, so the low half is exact.
    """
    stated = number(checksum)
    unsigned = (zlib.adler32(block[:256]) & 0xFFFF) + (zlib.adler32(block[256:]) & 0xFFFF) - 2
    unsigned += 8 * 32 - sum(checksum)
    if unsigned != stated:
        signed = unsigned - 256 * sum(byte > 127 for byte in block) + 256 * sum(byte > 127 for byte in checksum)
        if signed != stated:
            raise InvalidHeader


def number(raw: bytes) -> int:
    """A numeric field: octal digits, or a binary number if its first bit is set. Raises InvalidHeader.

    An archive has few different ones: what was read is kept, up to a limit.
    """
    value = _known.get(raw)
    if value is None:
        value = _number(raw)
        if len(_known) >= _KNOWN_LIMIT:
            _known.clear()
        _known[raw] = value
    return value


_KNOWN_LIMIT: Final = 4096
_known: Final[dict[bytes, int]] = {}


def _number(raw: bytes) -> int:
    first = raw[0]
    if first & 0x80:
        if first & 0x40:
            value = int.from_bytes(raw, "big", signed=True)
        else:
            value = int.from_bytes(bytes([first & 0x7F]) + raw[1:], "big")
        if not -_LIMIT <= value < _LIMIT:
            raise InvalidHeader
        return value
    digits = raw.strip(_BLANKS)
    cut = digits.find(b"\0")
    if cut >= 0:
        digits = digits[:cut]
    if not digits:
        return 0
    if not digits.isdigit():  # int() would take signs, blanks and underscores as well
        raise InvalidHeader
    try:
        return int(digits, 8)
    except ValueError:
        raise InvalidHeader from None


def text(raw: bytes) -> bytes:
    """A field of text: up to the first NUL."""
    cut = raw.find(b"\0")
    return raw if cut < 0 else raw[:cut]


def build(name: bytes, type_: bytes, link_name: bytes, mode: int, size: int) -> bytes:
    """A header block in ustar format, owner 0, time 0, for names of at most 100 bytes."""
    numbers = (b"%07o" % mode, b"0000000", b"0000000", b"%011o" % size, b"%011o" % 0)
    block = _FIELDS.pack(name, *numbers, b" " * 8, type_, link_name, b"ustar\x0000", b"0000000", b"0000000", b"", b"")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]
