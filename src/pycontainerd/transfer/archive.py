"""The members of a tar archive from a stream that comes in pieces of any size: bytes in, events out.

The formats are those of `diff.tar`. Unlike there nobody waits for bytes here, since an archive comes over a stream into
the daemon's loop; and a member is no more than a name, a type and its data.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from pycontainerd.diff.tar import header as tar
from pycontainerd.diff.tar import pax
from pycontainerd.diff.tar.errors import CutShort, FieldTooLong, InvalidHeader

SPECIAL_LIMIT: Final = 65_536
"""Bytes of an extended header or a long name: it is read in the daemon's loop, and says no more than a name."""

_SPECIAL: Final = frozenset({tar.PAX, tar.PAX_GLOBAL, tar.GNU_LONG_NAME, tar.GNU_LONG_LINK})


class Member(Struct, frozen=True):
    """The beginning of a member; *size* bytes of data follow if it is a *file*."""

    name: str
    size: int
    is_file: bool
    link_to: str | None
    """What a symbolic link says."""


class Data(Struct, frozen=True):
    """A piece of the data of the last member."""

    data: memoryview


class End(Struct, frozen=True):
    """The last member's data is complete."""


Event = Member | Data | End


class Archive:
    """Reads one archive. Raises InvalidHeader, FieldTooLong; `finish` raises CutShort."""

    def __init__(self) -> None:
        self._block = bytearray()
        self._special: bytearray | None = None
        self._special_type = b""
        self._left = 0
        self._padding = 0
        self._in_member = False
        self._zero_seen = False
        self._records: dict[bytes, bytes] = {}
        self._long_name = b""
        self._long_link = b""
        self.ended = False
        """Whether the end of the archive was seen; what comes behind it is nobody's."""

    @property
    def missing(self) -> int:
        """How many bytes of the last member's data have not come."""
        return self._left if self._in_member else 0

    def feed(self, piece: bytes) -> Iterator[Event]:
        """What *piece* brings. Data is a view of *piece*."""
        view = memoryview(piece)
        while view and not self.ended:
            if self._left:
                part, view = view[: self._left], view[self._left :]
                self._left -= len(part)
                yield from self._take(part)
            elif self._padding:
                skipped = min(self._padding, len(view))
                self._padding -= skipped
                view = view[skipped:]
            else:
                wanted = tar.BLOCK - len(self._block)
                self._block += view[:wanted]
                view = view[wanted:]
                if len(self._block) == tar.BLOCK:
                    block = bytes(self._block)
                    self._block.clear()
                    yield from self._header(block)

    def finish(self) -> None:
        """The stream has ended. Raises CutShort if that was inside of a member or of a header."""
        if self._left or self._block:
            raise CutShort

    def _take(self, part: memoryview) -> Iterator[Event]:
        if self._special is not None:
            self._special += part
            if not self._left:
                self._describe(self._special_type, bytes(self._special))
                self._special = None
            return
        yield Data(part)
        if not self._left:
            self._in_member = False
            yield End()

    def _header(self, block: bytes) -> Iterator[Event]:
        if block == tar.ZERO_BLOCK:
            self.ended = self._zero_seen
            self._zero_seen = True
            return
        if self._zero_seen:
            raise InvalidHeader
        parsed = tar.parse(block)
        entry = parsed.entry
        if entry.type in _SPECIAL:
            self._begin_special(parsed)
            return
        if self._records:
            pax.apply(self._records, entry)
            if entry.size < 0:
                raise InvalidHeader
        name = self._long_name or entry.name
        link = self._long_link or entry.link_name
        self._records, self._long_name, self._long_link = {}, b"", b""
        is_file = entry.type in {tar.REGULAR, tar.REGULAR_V7} and not name.endswith(b"/")
        size = 0 if entry.type in tar.HEADER_ONLY else entry.size
        self._left, self._padding = size, -size % tar.BLOCK
        self._in_member = size > 0
        yield Member(_text(name), size, is_file, _text(link) if entry.type == tar.SYMLINK else None)
        if not size:
            yield End()

    def _begin_special(self, parsed: tar.Header) -> None:
        if parsed.stored > SPECIAL_LIMIT:
            raise FieldTooLong
        self._special_type = parsed.entry.type
        self._left, self._padding = parsed.stored, -parsed.stored % tar.BLOCK
        self._special = bytearray()
        if not parsed.stored:
            self._describe(self._special_type, b"")
            self._special = None

    def _describe(self, type_: bytes, data: bytes) -> None:
        """Takes in what an extended header says of the next member."""
        if type_ == tar.PAX:
            self._records = pax.parse(data)
        elif type_ == tar.PAX_GLOBAL:
            pax.parse(data)
        elif type_ == tar.GNU_LONG_NAME:
            self._long_name = tar.text(data)
        else:
            self._long_link = tar.text(data)


def _text(name: bytes) -> str:
    return name.decode(errors="surrogateescape")
