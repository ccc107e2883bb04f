"""The worker that reads an image archive: hostile bytes in, the members' names and data out.

It is forked from the spawner with three descriptors and confines itself; it writes nothing but frames to a pipe.
"""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable, Sequence
from typing import Final

from pycontainerd.diff import confinement
from pycontainerd.diff.compression import PIECE_SIZE, Read, plain_pieces
from pycontainerd.diff.tar import header
from pycontainerd.diff.tar.errors import CutShort
from pycontainerd.diff.tar.header import Entry
from pycontainerd.diff.tar.reader import Pieces, Reader
from pycontainerd.errors import InvalidArgument
from pycontainerd.spawner import working
from pycontainerd.transfer.archive_messages import (
    HEADER,
    IS_DATA,
    Broken,
    End,
    Frames,
    Member,
    ReadRequest,
    decode_request,
    encode_request,
    frame,
)

NAME_LIMIT: Final = 4096
"""Bytes of a name or of what a link says: PATH_MAX, as no path is longer. The daemon keeps them."""

Write = Callable[[Sequence[bytes | memoryview]], None]
"""Writes all of some buffers, one after the other."""


def main(request: bytes, fds: list[int]) -> int:
    """Serves one request: archive, sink, pipe. The exit status is 0 if the last frame says how it ended."""
    archive, sink, tie = fds
    working.begin(tie)

    def read(size: int) -> bytes:
        return os.read(archive, size)

    def write(buffers: Sequence[bytes | memoryview]) -> None:
        _write_all(sink, buffers)

    try:
        confinement.enter(lambda place: (), kept=())
        tell_members(read, write, sniff=decode_request(request).sniff)
    except BrokenPipeError:
        return 1  # nobody listens any more
    except Exception as error:  # noqa: BLE001 - the daemon must hear of a defect as well
        write([frame(_broken(error))])
    return 0


def _broken(error: Exception) -> Broken:
    reason = working.reason(error, "read the archive")
    return Broken(reason, cut=isinstance(error, CutShort), refused=isinstance(error, InvalidArgument))


def tell_members(read: Read, write: Write, *, sniff: bool) -> None:
    """Writes the frames of the archive that *read* gives. Raises Unknown for one that is damaged or cut short,
    InvalidArgument for one with a name that is too long.
    """
    reader = Reader(Pieces(plain_pieces(read, sniff=sniff)))
    for entry in reader:
        if entry.type == header.PAX_GLOBAL:
            continue
        member = _member(entry)
        write([frame(member)])
        if member.is_file:
            for data in reader.data():
                # A piece of the stream may be larger than a frame.
                for start in range(0, len(data), PIECE_SIZE):
                    part = memoryview(data)[start : start + PIECE_SIZE]
                    write([HEADER.pack(len(part) | IS_DATA), part])
    write([frame(End())])


def _member(entry: Entry) -> Member:
    for what, path in (("name of a member", entry.name), ("target of a link", entry.link_name)):
        if len(path) > NAME_LIMIT:
            raise InvalidArgument(f"{what} in the archive has {len(path)} bytes: no path has more than {NAME_LIMIT}")
    # A sparse file has another size than what the archive holds of it: nobody stores blobs so.
    is_file = entry.type == header.REGULAR and entry.sparse is None and not entry.name.endswith(b"/")
    link = _text(entry.link_name) if entry.type == header.SYMLINK else None
    return Member(_text(entry.name), entry.size if is_file else 0, is_file, link)


def _text(name: bytes) -> str:
    return name.decode(errors="backslashreplace")


def _write_all(sink: int, buffers: Sequence[bytes | memoryview]) -> None:
    left = [memoryview(buffer) for buffer in buffers]
    while left:
        written = os.writev(sink, left)
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if written:
            left[0] = left[0][written:]


def warm() -> None:
    """Reads a small archive, so that children find all of it loaded and run once."""
    confinement.filter_program()
    data = b"warm" * 64
    members = [header.build(b"file", header.REGULAR, b"", 0o644, len(data)), data.ljust(512, b"\0")]
    members.append(header.build(b"link", header.SYMLINK, b"file", 0o777, 0))
    archive = b"".join(members) + bytes(1024)
    for packed in (archive, gzip.compress(archive)):
        frames: list[bytes | memoryview] = []
        tell_members(io.BytesIO(packed).read, frames.extend, sniff=True)
        list(Frames().feed(b"".join(frames)))
    decode_request(encode_request(ReadRequest()))
