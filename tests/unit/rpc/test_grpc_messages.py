from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.errors import Internal, ResourceExhausted, Unimplemented
from pycontainerd.rpc.encoded import Encoded
from pycontainerd.rpc.grpc.headers import (
    MalformedTimeout,
    decode_binary,
    encode_binary,
    encode_timeout,
    parse_timeout,
    percent_decoded,
    percent_encoded,
)
from pycontainerd.rpc.grpc.messages import PREFIX, Assembler, decompressor, framed, only_message
from pycontainerd.rpc.grpc.trailers import status_of_reset, status_of_trailers, trailers_block
from pycontainerd.rpc.http2.compression import Decoder
from pycontainerd.rpc.status import Code, Status
from tests.harness.rpc import Parcel, parcel


def wire(*messages: bytes) -> bytes:
    return b"".join(PREFIX.pack(0, len(message)) + message for message in messages)


@given(st.lists(st.binary(max_size=50), max_size=6), st.integers(1, 30), st.booleans())
def test_messages_may_be_cut_anywhere(messages: list[bytes], cut: int, views: bool) -> None:
    assembler, data, out = Assembler(100), wire(*messages), []
    for start in range(0, len(data), cut):
        piece = data[start : start + cut]
        out += assembler.feed([memoryview(piece) if views else piece])
    assert [message for message, _ in out] == messages
    assert [size for _, size in out] == [len(message) + 5 for message in messages]
    assert not assembler.cut_off


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=6), st.integers(1, 4))
def test_several_pieces_may_come_at_once(messages: list[bytes], left_out: int) -> None:
    data = wire(*messages)[:-left_out]
    assembler = Assembler(100)
    out = assembler.feed([data[:3], memoryview(data)[3:7], b"", data[7:]])
    assert [message for message, _ in out] == messages[: len(out)]
    assert assembler.cut_off


def test_a_message_over_the_limit_is_refused_by_its_head() -> None:
    with pytest.raises(ResourceExhausted, match=r"received message larger than max \(101 vs. 100\)"):
        Assembler(100).feed([PREFIX.pack(0, 101)])


def test_compressed_messages_need_an_encoding() -> None:
    packed = gzip.compress(b"hello")
    data = PREFIX.pack(1, len(packed)) + packed
    assert Assembler(100, decompressor(b"gzip")).feed([data]) == [(b"hello", len(data))]
    with pytest.raises(Internal, match="compressed flag set with identity"):
        Assembler(100, decompressor(b"identity")).feed([data])
    with pytest.raises(Unimplemented, match='not installed for grpc-encoding "br"'):
        decompressor(b"br")


@pytest.mark.parametrize("data", [b"no gzip", gzip.compress(b"hello", mtime=0)[:-3]])
def test_what_is_not_gzip_is_refused(data: bytes) -> None:
    with pytest.raises(Internal, match="decompress"):
        Assembler(100, decompressor(b"gzip")).feed([PREFIX.pack(1, len(data)) + data])


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(1 << 20))
    with pytest.raises(ResourceExhausted):
        Assembler(4096, decompressor(b"gzip")).feed([PREFIX.pack(1, len(bomb)) + bomb])


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(Internal, match="unexpected payload format 2"):
        Assembler(100).feed([PREFIX.pack(2, 0)])


def test_one_whole_message_is_seen_at_once() -> None:
    assert only_message(wire(b"hello")) == b"hello"
    assert only_message(memoryview(wire(b""))) == b""
    for data in (b"", wire(b"hello")[:-1], wire(b"hello", b"x"), PREFIX.pack(1, 1) + b"x"):
        assert only_message(data) is None


@pytest.mark.parametrize("size", [0, 100, 4096, 100_000])
def test_an_encoded_message_is_that_message(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    made = Encoded(parcel(text="x", number=-7), 2, memoryview(data)[:size])
    assert Parcel.FromString(made.SerializeToString()) == parcel(text="x", number=-7, data=data[:size])
    pieces, total = framed(made, 1 << 20)
    assert only_message(b"".join(pieces)) == made.SerializeToString()
    assert total == made.size + 5


def test_a_message_over_the_limit_is_not_sent() -> None:
    for message in (Encoded(parcel(), 2, bytes(200)), parcel(data=bytes(200)), bytes(200)):
        with pytest.raises(ResourceExhausted, match="trying to send message larger than max"):
            framed(message, 100)


@given(st.floats(0, 1e9))
def test_a_timeout_is_never_shortened(seconds: float) -> None:
    told = encode_timeout(seconds)
    assert len(told) <= 9
    assert seconds <= parse_timeout(told) * (1 + 1e-9) or told == b"99999999H"
    assert parse_timeout(told) <= seconds * 1.001 + 1e-9


@pytest.mark.parametrize("value", [b"", b"1", b"S", b"-1S", b"1.5S", b"123456789S", b"1s", b"1 S"])
def test_a_timeout_that_is_none(value: bytes) -> None:
    with pytest.raises(MalformedTimeout):
        parse_timeout(value)


@given(st.text())
def test_messages_survive_percent_encoding(text: str) -> None:
    told = percent_encoded(text)
    assert all(0x20 <= byte <= 0x7E for byte in told)
    assert percent_decoded(told) == text.encode(errors="replace").decode()


@pytest.mark.parametrize(("told", "text"), [(b"%", "%"), (b"%4", "%4"), (b"%zz%41", "%zzA"), (b"%C3%A9%ff", "é\ufffd")])
def test_what_is_no_escape_stays(told: bytes, text: str) -> None:
    assert percent_decoded(told) == text


@given(st.binary(max_size=100))
def test_binary_metadata_survives(value: bytes) -> None:
    told = encode_binary(value)
    assert decode_binary(told) == decode_binary(told + b"=" * (-len(told) % 4)) == value


@given(st.integers(1, 16), st.text(max_size=20), st.booleans())
def test_a_status_survives_its_trailers(code: int, message: str, only: bool) -> None:
    block = trailers_block(Status(code, message), only=only)
    fields = Decoder(1 << 16).decode(block).fields
    assert status_of_trailers(fields) == Status(code, message.encode(errors="replace").decode())


def test_answers_that_are_not_of_grpc_have_a_status() -> None:
    assert status_of_trailers(((b":status", b"503"),)).code == Code.UNAVAILABLE
    assert status_of_trailers(((b":status", b"418"),)).code == Code.UNKNOWN
    assert status_of_trailers(((b":status", b"200"),)).code == Code.INTERNAL
    assert status_of_trailers(((b"grpc-status", b"x"),)).code == Code.UNKNOWN


def test_a_reset_has_a_status() -> None:
    assert [status_of_reset(code).code for code in (7, 8, 11, 0, 99)] == [
        Code.UNAVAILABLE,
        Code.CANCELLED,
        Code.RESOURCE_EXHAUSTED,
        Code.INTERNAL,
        Code.INTERNAL,
    ]
