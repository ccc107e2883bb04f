"""The members of an archive that comes in pieces, and archives that come compressed."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import tarfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.diff.tar.errors import CutShort, FieldTooLong, InvalidHeader
from pycontainerd.errors import Unknown
from pycontainerd.threads import Threads
from pycontainerd.transfer.archive import Archive, Data, End, Member
from pycontainerd.transfer.inflating import plain

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


def read(pieces: Iterable[bytes]) -> list[tuple[str, bytes]]:
    """The files of the archive that *pieces* are."""
    archive = Archive()
    found: list[tuple[Member, bytearray]] = []
    for piece in pieces:
        for event in archive.feed(piece):
            match event:
                case Member():
                    found.append((event, bytearray()))
                case Data(data):
                    found[-1][1].extend(data)
                case End():
                    assert len(found[-1][1]) == found[-1][0].size
    archive.finish()
    return [(member.name, bytes(data)) for member, data in found if member.is_file]


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
    assert read(cut(tar(members, format_), size)) == members


def test_every_cut_of_an_archive_is_understood() -> None:
    members = [("a" * 200, b"x" * 700), ("b", b""), ("c", b"y" * 512)]
    data = tar(members)
    for size in range(1, 520):
        assert read(cut(data, size)) == members


def test_links_and_directories_are_no_files() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, type_, target in LINKS:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = type_, target
            archive.addfile(entry)
    events = [event for event in Archive().feed(buffer.getvalue()) if isinstance(event, Member)]
    assert [(member.is_file, member.link_to) for member in events] == [(False, None), (False, "../f"), (False, None)]


def test_what_follows_the_end_is_nobodys() -> None:
    archive = Archive()
    assert list(archive.feed(tar([]) + b"more")) == []
    assert archive.ended


@pytest.mark.parametrize("length", [1, 100, 511, 513, 1023, 1025, 1100])
def test_an_end_inside_of_a_member_is_noticed(length: int) -> None:
    with pytest.raises(CutShort):
        read([tar([("a", b"x" * 600)], tarfile.USTAR_FORMAT)[:length]])


@pytest.mark.parametrize("length", [0, 512 + 1024, 512 + 1024 + 512])
def test_an_end_between_members_is_an_end(length: int) -> None:
    data = tar([("a", b"x" * 600)], tarfile.USTAR_FORMAT)
    assert read([data[:length]]) == ([("a", b"x" * 600)] if length else [])


def test_a_header_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidHeader):
        read([b"not a tar " * 100])
    with pytest.raises(InvalidHeader):
        read([bytes(512) + tar([("a", b"")])])


def test_a_name_that_fills_our_memory_is_refused() -> None:
    entry = tarfile.TarInfo("n")
    entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    with pytest.raises(FieldTooLong):
        read([entry.tobuf()])


@given(st.binary(max_size=3000), st.integers(0, 2999), st.integers(0, 255))
def test_damage_is_refused_or_read_but_breaks_nothing(data: bytes, at: int, value: int) -> None:
    damaged = bytearray(tar([("a", data), ("b" * 150, b"x")]))
    damaged[at % len(damaged)] = value
    with suppress(InvalidHeader, CutShort, FieldTooLong):
        read(cut(bytes(damaged), 700))


PLAIN = tar([("a", os.urandom(300_000)), ("b", b"x" * 2_000_000)])


def inflate(data: bytes, size: int = 32_768) -> bytes:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in cut(data, size):
            yield piece

    async def main() -> bytes:
        with Threads("test", most=1) as threads:
            return b"".join([piece async for piece in plain(pieces(), threads)])

    return asyncio.run(main())


@pytest.mark.parametrize("size", [997, 32_768, 10_000_000])
@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        gzip.compress(PLAIN),
        gzip.compress(PLAIN[:1000]) + gzip.compress(PLAIN[1000:]),
        zstandard.compress(PLAIN),
        zstandard.compress(PLAIN[:1000]) + zstandard.compress(PLAIN[1000:]),
        b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip" + zstandard.compress(PLAIN),
    ],
    ids=["plain", "gzip", "gzip members", "zstd", "zstd frames", "zstd skippable"],
)
def test_an_archive_is_made_plain_however_it_is_cut(data: bytes, size: int) -> None:
    assert inflate(data, size) == PLAIN


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress], ids=["gzip members", "zstd frames"])
@pytest.mark.parametrize("size", [7, 4093, 1 << 20])
def test_an_archive_may_be_cut_into_a_frame_a_byte(compress: Callable[[bytes], bytes], size: int) -> None:
    text = bytes(range(250))
    assert inflate(b"".join(compress(text[at : at + 1]) for at in range(len(text))), size) == text


@pytest.mark.parametrize("data", [b"", b"x", b"\x1f\x8b", b"short"])
def test_what_is_too_short_to_tell_is_plain(data: bytes) -> None:
    assert inflate(data) == data


@pytest.mark.parametrize(
    "compressed", [gzip.compress(PLAIN), zstandard.ZstdCompressor(write_checksum=True).compress(PLAIN)]
)
def test_a_compressed_archive_that_ends_early_or_is_damaged_is_refused(compressed: bytes) -> None:
    for broken in (compressed[:-5], compressed[:1000] + b"damage" + compressed[1006:]):
        with pytest.raises(Unknown):
            inflate(broken)


def test_a_bomb_comes_in_pieces_that_fit_our_memory() -> None:
    async def main(bomb: bytes) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            yield bomb

        with Threads("test", most=1) as threads:
            largest = max([len(piece) async for piece in plain(pieces(), threads)])
        assert largest <= 9 << 20

    for bomb in (gzip.compress(bytes(100 << 20)), zstandard.ZstdCompressor().compress(bytes(100 << 20))):
        asyncio.run(main(bomb))
