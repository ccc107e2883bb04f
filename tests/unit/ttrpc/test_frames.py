"""Frames of ttrpc, cut anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.errors import ResourceExhausted
from pycontainerd.rpc.ttrpc.frames import (
    DATA,
    DATA_LIMIT,
    HEADER,
    REQUEST,
    RESPONSE,
    Frame,
    FrameDecoder,
    Oversized,
    encode,
)

frames = st.lists(
    st.builds(
        Frame,
        st.integers(0, 0xFFFFFFFF),
        st.integers(0, 255),
        st.integers(0, 255),
        st.binary(max_size=200),
    ),
    max_size=6,
)


def test_a_frame_has_the_bytes_of_the_table() -> None:
    assert encode(1, REQUEST, 0, b"hi") == bytes.fromhex("00000002 00000001 01 00") + b"hi"


def test_a_frame_may_arrive_in_any_two_pieces() -> None:
    wire = encode(1, REQUEST, 0, b"hi")
    for cut in range(len(wire) + 1):
        decoder = FrameDecoder()
        assert [*decoder.feed(wire[:cut]), *decoder.feed(wire[cut:])] == [Frame(1, REQUEST, 0, b"hi")]


@given(frames, st.lists(st.integers(1, 64), min_size=1))
def test_frames_come_out_as_they_went_in_however_they_are_cut(sent: list[Frame], cuts: list[int]) -> None:
    wire = b"".join(encode(*frame) for frame in sent)
    decoder = FrameDecoder()
    got: list[Frame | Oversized] = []
    position = turn = 0
    while position < len(wire):
        size = cuts[turn % len(cuts)]
        got += decoder.feed(wire[position : position + size])
        position, turn = position + size, turn + 1
    assert got == sent


@given(st.lists(st.binary(max_size=64)))
def test_any_bytes_are_frames_or_wait_for_more(pieces: list[bytes]) -> None:
    decoder = FrameDecoder()
    total = sum(len(frame.data) for piece in pieces for frame in decoder.feed(piece) if isinstance(frame, Frame))
    assert total <= sum(map(len, pieces))


@pytest.mark.parametrize("piece", [1 << 16, DATA_LIMIT + 50])
def test_the_body_of_an_oversized_frame_is_skipped_and_the_next_frame_found(piece: int) -> None:
    length = DATA_LIMIT + 1
    wire = HEADER.pack(length, 7, DATA, 0) + bytes(length) + encode(9, RESPONSE, 0, b"next")
    decoder = FrameDecoder()
    got = [frame for start in range(0, len(wire), piece) for frame in decoder.feed(wire[start : start + piece])]
    assert got == [Oversized(7, DATA, length), Frame(9, RESPONSE, 0, b"next")]


def test_a_frame_of_the_limit_passes_and_one_byte_more_is_refused() -> None:
    assert len(encode(1, DATA, 0, bytes(DATA_LIMIT))) == DATA_LIMIT + HEADER.size
    with pytest.raises(ResourceExhausted, match="4194305"):
        encode(1, DATA, 0, bytes(DATA_LIMIT + 1))
