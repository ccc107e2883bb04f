"""Streams that tell by their first bytes what they are."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import threading
from collections.abc import Callable

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pycontainerd.diff import media
from pycontainerd.diff.compression import PIECE_SIZE, READ_SIZE, plain_pieces
from pycontainerd.diff.plain import PlainStream
from pycontainerd.diff.tar.errors import CutShort
from pycontainerd.diff.zstd_frames import FrameScanner
from pycontainerd.errors import Unknown

SKIPPABLE = b"\x53\x2a\x4d\x18\x03\x00\x00\x00abc"


def plain(data: bytes, *, sniff: bool = True, step: int = READ_SIZE) -> bytes:
    stream = io.BytesIO(data)
    return b"".join(plain_pieces(lambda size: stream.read(min(size, step)), sniff=sniff))


def zstd_frame(data: bytes, *, checksum: bool = False, sized: bool = True) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=checksum, write_content_size=sized).compress(data)


@settings(max_examples=100, deadline=None)
@given(parts=st.lists(st.binary(max_size=3000), max_size=3), step=st.integers(1, 5000))
@pytest.mark.parametrize("pack", [gzip.compress, zstd_frame], ids=["gzip", "zstd"])
def test_members_and_frames_follow_each_other(pack: Callable[[bytes], bytes], parts: list[bytes], step: int) -> None:
    assert plain(b"".join(map(pack, parts)), step=step) == b"".join(parts)


@pytest.mark.parametrize(
    "data", [b"", b"\x1f", b"\x1f\x8b\x07" + bytes(20), b"\x28\xb5\x2f", b"plain" * 999, bytes(99_999)]
)
def test_anything_else_is_plain(data: bytes) -> None:
    assert plain(data) == data
    assert plain(data, sniff=False, step=7) == data


def test_without_sniffing_nothing_is_inflated() -> None:
    assert plain(gzip.compress(b"x"), sniff=False) == gzip.compress(b"x")


@pytest.mark.parametrize(("behind"), [b"garbage", bytes(1000), b"\x1f"])
def test_what_is_behind_gzip_and_no_gzip_is_passed_over(behind: bytes) -> None:
    assert plain(gzip.compress(b"abc") + behind, step=3) == b"abc"


@pytest.mark.parametrize("pack", [gzip.compress, zstd_frame], ids=["gzip", "zstd"])
def test_a_stream_cut_anywhere_is_told(pack: Callable[[bytes], bytes]) -> None:
    data = pack(os.urandom(300) + bytes(200_000))
    for end in [*range(10, len(data), 7), len(data) - 1]:
        with pytest.raises((CutShort, Unknown)):
            plain(data[:end])


@pytest.mark.parametrize("damage", [lambda data: data[:-8] + bytes(8), lambda data: data[:20] + bytes(20) + data[40:]])
def test_a_damaged_stream_is_told(damage: Callable[[bytes], bytes]) -> None:
    for packed in (gzip.compress(os.urandom(100)), zstd_frame(os.urandom(100), checksum=True)):
        with pytest.raises(Unknown):
            plain(damage(packed))


def test_a_bomb_comes_in_pieces() -> None:
    for packed in (gzip.compress(bytes(50 << 20)), zstd_frame(bytes(50 << 20))):
        stream = io.BytesIO(packed)
        sizes = [len(piece) for piece in plain_pieces(stream.read, sniff=True)]
        assert sum(sizes) == 50 << 20
        assert max(sizes) <= PIECE_SIZE


def test_a_window_beyond_the_limit_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, enable_ldm=True)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = packed.compress(os.urandom(1 << 16) * 64) + packed.flush()
    with pytest.raises(Unknown, match="zstd"):
        plain(data)


@settings(max_examples=150, deadline=None)
@given(
    parts=st.lists(
        st.tuples(st.binary(max_size=500), st.booleans(), st.booleans(), st.integers(0, 300_000)), max_size=3
    ),
    step=st.integers(1, 5000),
    cut=st.integers(1, 60),
)
def test_the_scanner_knows_where_frames_end(parts: list[tuple[bytes, bool, bool, int]], step: int, cut: int) -> None:
    frames = [zstd_frame(data + bytes(more), checksum=sum_, sized=sized) for data, sum_, sized, more in parts]
    whole = SKIPPABLE + b"".join(frames)
    scanner = FrameScanner()
    for start in range(0, len(whole), step):
        scanner.feed(whole[start : start + step])
    assert scanner.complete
    shorter = FrameScanner()
    shorter.feed(whole[:-cut])
    ends = {len(SKIPPABLE) + sum(map(len, frames[:number])) for number in range(len(frames) + 1)} | {0}
    assert shorter.complete == (max(0, len(whole) - cut) in ends)


def test_digest_and_size_are_those_of_the_plain_stream() -> None:
    data = os.urandom(3 << 20)
    with PlainStream(io.BytesIO(gzip.compress(data, 1)).read, sniff=True) as stream:
        assert b"".join(stream) == data
        assert (stream.digest(), stream.size) == (f"sha256:{hashlib.sha256(data).hexdigest()}", len(data))


def test_an_error_of_the_source_is_raised_where_it_is_read() -> None:
    def read(_: int) -> bytes:
        raise OSError(5, "broken disk")

    with PlainStream(read, sniff=True) as stream, pytest.raises(OSError, match="broken disk"):
        list(stream)


def test_leaving_early_ends_the_threads() -> None:
    before = threading.active_count()
    with PlainStream(bytes, sniff=False) as stream:
        next(iter(stream))
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("media_type", "compressed"),
    [
        ("application/vnd.oci.image.layer.v1.tar", False),
        ("application/vnd.oci.image.layer.v1.tar+gzip", True),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", True),
        ("application/vnd.oci.image.layer.v1.tar+encrypted+gzip", True),
        ("application/vnd.oci.image.layer.v1.tar+gzip+zzz", False),
        ("application/vnd.docker.image.rootfs.diff.tar", True),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", True),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", True),
        ("application/vnd.docker.image.rootfs.diff.tar.zstd", True),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip+encrypted", False),
    ],
)
def test_media_types_say_whether_to_look(media_type: str, compressed: bool) -> None:
    assert media.is_compressed(media_type) is compressed


@pytest.mark.parametrize("media_type", ["", "text/plain", "application/vnd.docker.image.rootfs.diff.tar.xz"])
def test_what_is_no_layer_has_no_processor(media_type: str) -> None:
    with pytest.raises(Unknown) as error:
        media.is_compressed(media_type)
    assert error.value.message == f"failed to get stream processor for {media_type}: no processor for media-type"
