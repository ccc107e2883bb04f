"""Header compression, with the library `hpack` as oracle."""

from __future__ import annotations

import hpack
import pytest
from hpack.table import HeaderTable
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.rpc.http2.compression import Decoder, encode
from pycontainerd.rpc.http2.frames import ErrorCode, ProtocolError
from pycontainerd.rpc.http2.static_table import NAMES, STATIC, WHOLE

names = st.sampled_from([b":path", b":method", b"content-type", b"grpc-status", b"containerd-namespace", b"x-new"])
fields = st.lists(st.tuples(names, st.binary(max_size=300)), max_size=12)
blocks = st.lists(st.tuples(fields, st.booleans(), st.sampled_from([None, 0, 100, 4096])), max_size=8)


def test_the_static_table_is_that_of_the_standard() -> None:
    table = HeaderTable.STATIC_TABLE
    assert STATIC[1:] == table
    assert all(STATIC[index] == field for field, index in WHOLE.items())
    assert {name: index for name, (index, _) in HeaderTable.STATIC_TABLE_MAPPING.items()} == NAMES


@given(fields)
def test_what_we_encode_is_read_by_hpack(header: list[tuple[bytes, bytes]]) -> None:
    decoded = hpack.Decoder(1 << 20).decode(encode(header), raw=True)
    assert [(bytes(name), bytes(value)) for name, value in decoded] == header


@given(fields)
def test_what_we_encode_is_read_by_us(header: list[tuple[bytes, bytes]]) -> None:
    decoder = Decoder(1 << 20)
    assert list(decoder.decode(encode(header)).fields) == header
    assert list(decoder.decode(encode(header)).fields) == header


@given(blocks)
def test_what_hpack_encodes_is_read_by_us(sequence: list[tuple[list[tuple[bytes, bytes]], bool, int | None]]) -> None:
    encoder, decoder = hpack.Encoder(), Decoder(1 << 20)
    for header, huffman, size in sequence:
        if size is not None:
            encoder.header_table_size = size
        assert list(decoder.decode(encoder.encode(header, huffman)).fields) == header


def test_a_block_that_comes_again_is_the_same_object_until_the_table_changes() -> None:
    encoder, decoder = hpack.Encoder(), Decoder(1 << 20)
    encoder.encode([(b"x", b"1")])
    decoder.decode(hpack.Encoder().encode([(b"x", b"1")]))
    again = encoder.encode([(b"x", b"1")])
    first = decoder.decode(again)
    assert decoder.decode(again) is first
    decoder.decode(encoder.encode([(b"y", b"2")]))
    assert list(decoder.decode(again).fields) == [(b"y", b"2")]


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_fail(block: bytes) -> None:
    try:
        fields = Decoder(4096).decode(block).fields
    except ProtocolError:
        return
    assert sum(len(name) + len(value) + 32 for name, value in fields) <= 4096


@given(st.binary(max_size=60))
def test_bytes_are_a_block_to_us_as_to_hpack(block: bytes) -> None:
    ours: list[tuple[bytes, bytes]] | None
    theirs: list[tuple[bytes, bytes]] | None
    try:
        ours = list(Decoder(1 << 16).decode(block).fields)
    except ProtocolError:
        ours = None
    try:
        theirs = [(bytes(name), bytes(value)) for name, value in hpack.Decoder(1 << 16).decode(block, raw=True)]
    except hpack.HPACKError:
        theirs = None
    assert ours == theirs


@pytest.mark.parametrize("block", [b"\x80", b"\xc0", b"\x40\x05ab", b"\x82\x20", b"\x3f\xff\xff\xff\xff\x0f", b"\x1f"])
def test_a_bad_block_ends_the_connection(block: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        Decoder(1 << 16).decode(block)
    assert caught.value.code == ErrorCode.COMPRESSION_ERROR


def test_a_small_block_does_not_grow_over_the_limit() -> None:
    with pytest.raises(ProtocolError) as caught:
        Decoder(4096).decode(b"\x40\x01x\x7f\x81\x01" + b"y" * 256 + b"\xbe" * 100)
    assert caught.value.code == ErrorCode.ENHANCE_YOUR_CALM
