"""The reader of archives, against the standard library's and GNU tar's writers."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycontainerd.diff.tar import header, pax, sparse
from pycontainerd.diff.tar.errors import CutShort, FieldTooLong, InvalidHeader, MissingData, UnreferencedData
from pycontainerd.diff.tar.header import Entry
from pycontainerd.diff.tar.reader import Pieces, Reader
from tests.unit.diff.archives import Member, archive, pieces


def read(data: bytes, size: int = 700) -> list[tuple[Entry, bytes]]:
    """All entries with their data."""
    reader = Reader(Pieces(pieces(data, size)))
    found = []
    for entry in reader:
        if entry.sparse is None:
            found.append((entry, b"".join(reader.data())))
        else:
            content = bytearray(entry.size)
            for offset, piece in reader.fragments(entry):
                content[offset : offset + len(piece)] = piece
            found.append((entry, bytes(content)))
    return found


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=300).filter(
    lambda name: not name.endswith("/") and len(name.encode()) < 900
)


@settings(max_examples=200, deadline=None)
@given(
    name=NAMES,
    link=NAMES,
    data=st.binary(max_size=2000),
    ids=st.tuples(st.integers(0, 2**31), st.integers(0, 2**31)),
    mtime=st.one_of(st.integers(-(2**33), 2**36), st.just(1_600_000_000.25)),
    format_=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    size=st.integers(1, 3000),
)
def test_what_the_standard_library_writes_is_read(  # noqa: PLR0917 - what is drawn
    name: str, link: str, data: bytes, ids: tuple[int, int], mtime: float, format_: int, size: int
) -> None:
    if format_ == tarfile.GNU_FORMAT:
        mtime = int(mtime)
    uid, gid = ids
    written = [
        Member(name, data=data, uid=uid, gid=gid, mtime=mtime, mode=0o4751),
        Member("link", tarfile.SYMTYPE, link=link),
        Member("last", data=b"end"),
    ]
    (first, content), (second, _), (_, last) = read(archive(written, format_), size)
    assert (first.name, content, last) == (name.encode(), data, b"end")
    assert (first.uid, first.gid, first.mode, first.size) == (uid, gid, 0o4751, len(data))
    assert first.mtime_ns == int(mtime * 4) * 10**9 // 4
    assert (second.link_name, second.type) == (link.encode(), header.SYMLINK)


@given(st.integers(-(2**62), 2**62))
def test_binary_numbers_are_read(value: int) -> None:
    raw = bytes([0xFF if value < 0 else 0x80]) + value.to_bytes(11, "big", signed=True)
    assert header.number(raw) == value


@pytest.mark.parametrize(
    ("raw", "value"),
    [(b"0000644\0", 0o644), (b"   644 \0", 0o644), (b"\0" * 8, 0), (b"        ", 0), (b"12\0garbag", 0o12)],
)
def test_octal_numbers_are_read_between_blanks(raw: bytes, value: int) -> None:
    assert header.number(raw) == value


@pytest.mark.parametrize("raw", [b"0000648\0", b"-0000001", b"0x1     ", b"1_0     ", b"\xbf" + b"\xff" * 11])
def test_what_is_no_number_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidHeader):
        header.number(raw)


def block(**changes: bytes) -> bytes:
    """A header with fields overwritten and the sum made right."""
    raw = bytearray(header.build(b"name", header.REGULAR, b"", 0o644, 0))
    for field, value in changes.items():
        start = {"name": 0, "magic": 257, "prefix": 345, "size": 124, "type": 156}[field]
        raw[start : start + len(value)] = value
    raw[148:156] = b"        "
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


def test_a_wrong_sum_is_refused() -> None:
    raw = bytearray(block())
    raw[0] ^= 1
    with pytest.raises(InvalidHeader):
        header.parse(bytes(raw))


def test_a_sum_of_signed_bytes_is_taken() -> None:
    raw = bytearray(block(name="ü".encode()))
    raw[148:156] = b"        "
    signed = sum(byte - 256 if byte > 127 else byte for byte in raw)
    raw[148:156] = b"%06o\0 " % signed
    assert header.parse(bytes(raw)).entry.name == "ü".encode() + b"me"


@pytest.mark.parametrize(
    ("magic", "prefix", "name"),
    [
        (b"ustar\x0000", b"dir/sub", b"dir/sub/name"),
        (b"ustar\0\0\0", b"dir", b"dir/name"),
        (b"\0" * 8, b"dir", b"name"),
        (b"ustar  \0", b"00000000001\0", b"name"),
        (b"ustar  \0", b"dir", b"dir/name"),
    ],
)
def test_the_prefix_counts_in_ustar_only(magic: bytes, prefix: bytes, name: bytes) -> None:
    assert header.parse(block(magic=magic, prefix=prefix)).entry.name == name


def test_an_old_directory_is_told_by_its_slash() -> None:
    ((entry, _),) = read(block(name=b"dir/", type=b"\0", magic=bytes(8)))
    assert entry.type == header.DIRECTORY


@pytest.mark.parametrize("end", [b"", bytes(512), bytes(1024), bytes(5000)])
def test_an_archive_may_end_with_or_without_zeros(end: bytes) -> None:
    assert len(read(block() + end)) == 1


@pytest.mark.parametrize("data", [block()[:100], block(size=b"00000000010\0"), block() + bytes(512) + b"x" * 100])
def test_a_cut_archive_is_told(data: bytes) -> None:
    with pytest.raises(CutShort):
        read(data)


def test_something_after_one_zero_block_is_refused() -> None:
    with pytest.raises(InvalidHeader):
        read(bytes(512) + block())


def test_links_have_no_data_whatever_they_say() -> None:
    ((entry, _), (after, _)) = read(block(size=b"00000001000\0", type=header.SYMLINK) + block(name=b"after"))
    assert (entry.type, after.name) == (header.SYMLINK, b"after")


def extended(records: bytes, following: bytes) -> bytes:
    """An extended header and what it describes."""
    padded = records.ljust(-(-len(records) // 512) * 512, b"\0")
    return block(type=b"x", size=b"%011o\0" % len(records)) + padded + following


def record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + 1
    while len(b"%d" % length) + len(body) != length:
        length += 1
    return b"%d" % length + body


def test_records_change_the_entry_and_empty_ones_do_not() -> None:
    records = [
        (b"path", b"new/" + b"n" * 200), (b"uid", b"4000000000"), (b"gid", b""), (b"mtime", b"-1.5"),
        (b"atime", b"2.123456789123"), (b"SCHILY.xattr.user.k=v"[:17], b"\0\xff=\n"), (b"comment", b"ignored"),
    ]  # fmt: skip
    ((entry, _),) = read(extended(b"".join(record(*each) for each in records), block()))
    assert (entry.name, entry.uid, entry.gid) == (b"new/" + b"n" * 200, 4_000_000_000, 0)
    assert (entry.mtime_ns, entry.atime_ns) == (-1_500_000_000, 2_123_456_789)
    assert entry.xattrs == {b"user": b"\0\xff=\n"}


@pytest.mark.parametrize(
    "records",
    [
        b"5 a=", b"6 a=b", b"7 a=b\n", b"99 a=b\n", b"06 =b\n", b"x a=b\n", b" 6 a=b\n", b"6 ab=\n"[:5] + b"x",
        record(b"path", b"a\0b"), record(b"a\0b", b"x"), record(b"uid", b"1x"), record(b"size", b"9" * 30),
        record(b"mtime", b"1.2.3"), record(b"mtime", b"1,5"), record(b"size", b"-1"),
        record(b"GNU.sparse.numbytes", b"1"), record(b"GNU.sparse.offset", b"1,2"),
    ],
)  # fmt: skip
def test_records_that_nobody_writes_are_refused(records: bytes) -> None:
    with pytest.raises((InvalidHeader, CutShort)):
        read(extended(records, block()))


def test_an_endless_extended_header_is_refused() -> None:
    with pytest.raises(FieldTooLong):
        read(block(type=b"x", size=b"%011o\0" % (2 << 20)) + bytes(1 << 22))


@pytest.mark.parametrize("options", [("gnu",), ("pax", "0.0"), ("pax", "0.1"), ("pax", "1.0")])
@pytest.mark.parametrize("fragments", [0, 1, 4, 5, 60])
def test_sparse_files_of_gnu_tar_are_read(scratch: Path, options: tuple[str, ...], fragments: int) -> None:
    with (scratch / "sparse").open("wb") as file:
        for number in range(fragments):
            file.seek(number * 70_000)
            file.write(b"data %d" % number)
        file.truncate(fragments * 70_000 + 5_000)
    command = ["tar", "-C", str(scratch), "--sparse", f"--format={options[0]}", "-cf", "-", "sparse"]
    command += [f"--sparse-version={version}" for version in options[1:]]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    ((entry, content),) = read(data)
    assert entry.name == b"sparse"
    assert content == (scratch / "sparse").read_bytes()


def sparse_archive(map_: bytes, size: int, data: bytes) -> bytes:
    count = map_.count(b",") // 2 + 1
    records = record(b"GNU.sparse.map", map_) + record(b"GNU.sparse.numblocks", b"%d" % count)
    records += record(b"GNU.sparse.size", b"%d" % size)
    stored = data.ljust(-(-len(data) // 512) * 512, b"\0")
    return extended(records, block(size=b"%011o\0" % len(data)) + stored)


@pytest.mark.parametrize(
    ("map_", "error"),
    [
        (b"0,4", UnreferencedData), (b"0,6", MissingData), (b"5,5", InvalidHeader), (b"0,3,2,2", InvalidHeader),
        (b"-1,5", InvalidHeader), (b"0,5,9223372036854775807,1", InvalidHeader), (b"0,a", InvalidHeader),
        (b"0", InvalidHeader),
    ],
)  # fmt: skip
def test_a_map_that_does_not_fit_is_refused(map_: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(sparse_archive(map_, 9, b"12345"))


def test_a_map_that_fits_is_taken() -> None:
    assert read(sparse_archive(b"1,2,5,3", 9, b"12345"))[0][1] == b"\x0012\0\x00345\0"


def test_a_map_may_not_fill_our_memory() -> None:
    def blocks() -> Iterator[bytes]:
        yield b"99999999\n".ljust(512, b"0")

    source = blocks()
    records = {b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.realsize": b"5"}
    with pytest.raises(FieldTooLong):
        sparse.read_pax(records, header.parse(block()).entry, lambda: next(source))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=4000), st.integers(1, 600))
def test_garbage_is_refused_or_read_never_anything_else(data: bytes, size: int) -> None:
    try:
        read(data, size)
    except (InvalidHeader, CutShort, FieldTooLong):
        return


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.binary(min_size=1, max_size=20), st.binary(max_size=30))))
def test_records_are_read_as_they_were_written(pairs: list[tuple[bytes, bytes]]) -> None:
    wanted = {
        key: value
        for key, value in pairs
        if b"=" not in key
        and b"\0" not in key
        and not key.startswith((b"GNU.sparse", b"path", b"link", b"uname", b"gname"))
    }
    assert pax.parse(b"".join(record(key, value) for key, value in wanted.items())) == wanted


def test_pieces_are_read_across_their_borders() -> None:
    stream = Pieces(iter([b"abc", b"", b"defg", b"h"]))
    assert stream.read(2) == b"ab"
    assert stream.read(4) == b"cdef"
    stream.skip(1)
    assert stream.read(9) == b"h"
    with pytest.raises(CutShort):
        stream.skip(1)


def test_a_header_of_ours_is_read_by_others() -> None:
    data = header.build(b"dir/", header.DIRECTORY, b"", 0o755, 0) + header.build(b"f", header.REGULAR, b"", 0o600, 3)
    with tarfile.open(fileobj=io.BytesIO(data + b"abc".ljust(512, b"\0") + bytes(1024))) as tar:
        assert [(member.name, member.mode) for member in tar] == [("dir", 0o755), ("f", 0o600)]
