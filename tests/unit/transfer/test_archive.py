"""The members of an archive as a worker tells them, and as the daemon hears them."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.diff.tar.errors import CutShort, FieldTooLong, InvalidHeader
from pycontainerd.errors import InvalidArgument, Unknown
from pycontainerd.transfer.archive_messages import (
    DATA_LIMIT,
    HEADER,
    IS_DATA,
    MESSAGE_LIMIT,
    Broken,
    Data,
    End,
    Event,
    Frames,
    Member,
)
from pycontainerd.transfer.archive_worker import NAME_LIMIT, tell_members

FORMATS = [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]
NAMES = st.text("abc/é", min_size=1, max_size=300).filter(lambda name: not name.endswith("/"))
LINKS = [("d", tarfile.DIRTYPE, ""), ("s", tarfile.SYMTYPE, "../f"), ("h", tarfile.LNKTYPE, "f")]


def tar(members: Iterable[tuple[str, bytes]], format_: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format_) as archive:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def frames_of(data: bytes, *, sniff: bool = False) -> bytes:
    """What the worker writes of an archive. Raises what is wrong with it."""
    written: list[bytes | memoryview] = []
    tell_members(io.BytesIO(data).read, written.extend, sniff=sniff)
    return b"".join(written)


def events_of(data: bytes, *, size: int = 1 << 20) -> Iterator[Event]:
    """The events of frames that come in pieces of *size* bytes."""
    frames = Frames()
    for piece in cut(data, size):
        yield from frames.feed(piece)


def read(data: bytes, *, size: int = 1 << 20, sniff: bool = False) -> list[tuple[str, bytes]]:
    """The files of an archive."""
    found: list[tuple[Member, bytearray]] = []
    ended = False
    for event in events_of(frames_of(data, sniff=sniff), size=size):
        assert not ended
        match event:
            case Member():
                found.append((event, bytearray()))
            case Data(part):
                found[-1][1].extend(part)
            case End():
                ended = True
            case Broken(reason):
                raise AssertionError(reason)
    assert ended
    assert all(len(part) == member.size for member, part in found)
    return [(member.name, bytes(part)) for member, part in found if member.is_file]


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@given(
    st.lists(st.tuples(NAMES, st.binary(max_size=2000)), max_size=5),
    st.sampled_from(FORMATS),
    st.integers(1, 3000),
)
def test_files_come_out_as_they_went_in_however_the_archive_is_cut(
    members: list[tuple[str, bytes]], format_: int, size: int
) -> None:
    assert read(tar(members, format_), size=size) == members


def test_every_cut_of_the_frames_is_understood() -> None:
    members = [("a" * 200, b"x" * 700), ("b", b""), ("c", b"y" * 512)]
    data = tar(members)
    for size in range(1, 520):
        assert read(data, size=size) == members


def test_links_and_directories_are_no_files() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, type_, target in LINKS:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = type_, target
            archive.addfile(entry)
    members = [event for event in events_of(frames_of(buffer.getvalue())) if isinstance(event, Member)]
    assert [(member.is_file, member.link_to) for member in members] == [(False, None), (False, "../f"), (False, None)]


def test_what_follows_the_end_is_nobodys() -> None:
    assert list(events_of(frames_of(tar([]) + b"more"))) == [End()]


@pytest.mark.parametrize("length", [1, 100, 511, 513, 1023, 1025, 1100])
def test_an_end_inside_of_a_member_is_noticed(length: int) -> None:
    with pytest.raises(CutShort):
        read(tar([("a", b"x" * 600)], tarfile.USTAR_FORMAT)[:length])


@pytest.mark.parametrize("length", [0, 512 + 1024, 512 + 1024 + 512])
def test_an_end_between_members_is_an_end(length: int) -> None:
    data = tar([("a", b"x" * 600)], tarfile.USTAR_FORMAT)
    assert read(data[:length]) == ([("a", b"x" * 600)] if length else [])


def test_a_header_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidHeader):
        read(b"not a tar " * 100)
    with pytest.raises(InvalidHeader):
        read(bytes(512) + tar([("a", b"")]))


def test_a_name_that_fills_our_memory_is_refused() -> None:
    entry = tarfile.TarInfo("n")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    with pytest.raises(FieldTooLong):
        read(entry.tobuf())


@given(st.binary(max_size=3000), st.integers(0, 2999), st.integers(0, 255))
def test_damage_is_refused_or_read_but_breaks_nothing(data: bytes, at: int, value: int) -> None:
    damaged = bytearray(tar([("a", data), ("b" * 150, b"x")]))
    damaged[at % len(damaged)] = value
    with suppress(InvalidHeader, CutShort, FieldTooLong):
        read(bytes(damaged))


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_an_archive_may_come_compressed(compress: Callable[[bytes], bytes]) -> None:
    members = [("a", bytes(300_000)), ("b", b"x")]
    assert read(compress(tar(members)), sniff=True) == members


def test_a_name_that_no_path_has_is_refused() -> None:
    longest = "n" * NAME_LIMIT
    assert read(tar([(longest, b"")])) == [(longest, b"")]
    with pytest.raises(InvalidArgument, match="name of a member in the archive has 4097 bytes: no path has more than"):
        read(tar([(longest + "n", b"")]))


def test_a_link_to_what_no_path_is_is_refused() -> None:
    entry = tarfile.TarInfo("s")
    entry.type, entry.linkname = tarfile.SYMTYPE, "n" * (NAME_LIMIT + 1)
    with pytest.raises(InvalidArgument, match="target of a link in the archive has 4097 bytes"):
        read(entry.tobuf(tarfile.GNU_FORMAT))


def test_a_sparse_file_is_no_blob() -> None:
    entry = tarfile.TarInfo("sparse")
    entry.type = tarfile.GNUTYPE_SPARSE
    assert read(entry.tobuf(tarfile.GNU_FORMAT) + bytes(1024)) == []


@pytest.mark.parametrize(
    "frames",
    [
        HEADER.pack(MESSAGE_LIMIT + 1),
        HEADER.pack(DATA_LIMIT + 1 | IS_DATA),
        HEADER.pack(4) + b"junk",
        HEADER.pack(3) + b"\x81\xa1x",
    ],
)
def test_what_a_broken_worker_says_is_refused(frames: bytes) -> None:
    for size in (1, 1000):
        with pytest.raises(Unknown, match="answered nonsense"):
            list(events_of(frames, size=size))
