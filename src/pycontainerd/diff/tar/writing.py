"""Header blocks as Go's archive/tar writes them, byte for byte: the digest of a layer is that of these bytes.

An entry is plain ustar where its fields fit (a long name split at a slash), else it has a PAX header before it.
"""

from __future__ import annotations

import posixpath
import struct
import zlib
from dataclasses import dataclass
from typing import Final

from pycontainerd.diff.tar.header import BLOCK, PAX

END: Final = bytes(2 * BLOCK)
"""What every archive ends with. Nothing fills it up to a record, as other archivers do."""

XATTR_CAPABILITY: Final = b"SCHILY.xattr.security.capability"

_NAME: Final = 100
_PREFIX: Final = 155
_SHORT: Final = 8
_LONG: Final = 12
_FIELDS: Final = struct.Struct("100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12x")
_PADDING: Final = tuple(bytes(size) for size in range(BLOCK))


@dataclass(frozen=True, slots=True)
class Member:
    """One entry. The name of a directory ends in a slash; *mtime_s* are whole seconds since 1970."""

    name: bytes
    type: bytes
    mode: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_s: int = 0
    link_name: bytes = b""
    device_major: int = 0
    device_minor: int = 0
    capability: bytes = b""
    """The attribute `security.capability`, the only one that layers keep."""


def padding(size: int) -> bytes:
    """What fills *size* bytes of data up to a whole block."""
    return _PADDING[-size % BLOCK]


def head(member: Member) -> bytes:
    """All blocks before the data of *member*."""
    if member.capability:
        return _with_records(member, _records(member) | {XATTR_CAPABILITY: member.capability})
    records = _records(member)
    split = _split(member.name)
    if not records or (split and records.keys() == {b"path"}):
        prefix, name = split or (b"", member.name)
        return _block(member, name, member.link_name, prefix)
    return _with_records(member, records)


def _records(member: Member) -> dict[bytes, bytes]:
    """What doesn't fit into the fields of a block, by the keys of PAX."""
    texts = ((b"path", member.name), (b"linkpath", member.link_name))
    records = {key: text for key, text in texts if len(text) > _NAME or not text.isascii()}
    numbers = (
        (b"uid", member.uid, _SHORT),
        (b"gid", member.gid, _SHORT),
        (b"size", member.size, _LONG),
        (b"mtime", member.mtime_s, _LONG),
    )
    for key, number, width in numbers:
        if not _fits(number, width):
            records[key] = b"%d" % number
    return records


def _fits(number: int, width: int) -> bool:
    return 0 <= number < 1 << 3 * (width - 1)


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """A long name as what ustar calls prefix and name, None where that can't be."""
    length = len(name)
    if length <= _NAME or not name.isascii():
        return None
    if length > _PREFIX + 1:
        length = _PREFIX + 1
    elif name.endswith(b"/"):
        length -= 1
    slash = name.rfind(b"/", 0, length)
    rest = len(name) - slash - 1
    if slash <= 0 or slash > _PREFIX or not 0 < rest <= _NAME:
        return None
    return name[:slash], name[slash + 1 :]


def _with_records(member: Member, records: dict[bytes, bytes]) -> bytes:
    data = b"".join(_record(key, records[key]) for key in sorted(records))
    directory, file = posixpath.split(member.name)
    described = _ascii(posixpath.join(directory, b"PaxHeaders.0", file))[:_NAME].rstrip(b"/")
    first = _block(Member(described, PAX, size=len(data)), described, b"", b"", bare=True)
    block = _block(member, _cut(_ascii(member.name)), _cut(_ascii(member.link_name)), b"")
    return b"".join((first, data, padding(len(data)), block))


def _record(key: bytes, value: bytes) -> bytes:
    """`<length> <key>=<value>` and a line feed; the length counts its own digits."""
    size = len(key) + len(value) + 3
    size += len(b"%d" % size)
    record = b"%d %b=%b\n" % (size, key, value)
    return record if len(record) == size else b"%d %b=%b\n" % (len(record), key, value)


def _ascii(text: bytes) -> bytes:
    return text if text.isascii() else bytes(byte for byte in text if byte < 0x80)


def _cut(text: bytes) -> bytes:
    """A text too long for its field, which a reader of old must not take for a directory's."""
    if len(text) > _NAME and text[_NAME - 1 : _NAME] == b"/":
        return text[: _NAME - 1].rstrip(b"/")
    return text[:_NAME]


def _block(member: Member, name: bytes, link_name: bytes, prefix: bytes, *, bare: bool = False) -> bytes:
    """One block; a *bare* one leaves the numbers of devices out."""
    return _sealed(
        _FIELDS.pack(
            name,
            _octal(member.mode, _SHORT),
            _octal(member.uid, _SHORT),
            _octal(member.gid, _SHORT),
            _octal(member.size, _LONG),
            _octal(member.mtime_s, _LONG),
            b" " * 8,
            member.type,
            link_name,
            b"ustar\0",
            b"00",
            b"",
            b"",
            b"" if bare else _octal(member.device_major, _SHORT),
            b"" if bare else _octal(member.device_minor, _SHORT),
            prefix,
        )
    )


def _octal(number: int, width: int) -> bytes:
    """A field of digits; zero for what stands in a record instead."""
    return b"%0*o" % (width - 1, number if _fits(number, width) else 0)


def _sealed(block: bytes) -> bytes:
    """The block with its checksum. adler32 is the fastest sum there is; 256 bytes stay below its modulus."""
    total = (zlib.adler32(block[:256]) & 0xFFFF) + (zlib.adler32(block[256:]) & 0xFFFF) - 2
    return b"%b%06o\0 %b" % (block[:148], total, block[156:])
