"""The HTTP/2 core, with the library `h2` as the other side and as oracle."""

from __future__ import annotations

import struct
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pycontainerd.rpc.http2 import events, frames
from pycontainerd.rpc.http2.compression import encode
from pycontainerd.rpc.http2.connection import Http2Connection
from pycontainerd.rpc.http2.frames import ErrorCode, Setting
from pycontainerd.rpc.http2.limits import Limits
from pycontainerd.rpc.http2.stream import Stream

REQUEST = [(":method", "POST"), (":scheme", "http"), (":path", "/a/b"), (":authority", "x"), ("x", "y")]
REQUEST_BLOCK = encode([(name.encode(), value.encode()) for name, value in REQUEST])
RESPONSE = encode([(b":status", b"200")])
TRAILERS = encode([(b"grpc-status", b"0")])


class Ours:
    """Our side, and what it told."""

    def __init__(self, *, client: bool = False, limits: Limits | None = None) -> None:
        self.drained: list[Stream] = []
        self.now = 0.0
        self.core = Http2Connection(
            client=client, limits=limits or Limits(), clock=lambda: self.now, drained=self.drained.append
        )
        self.events: list[Any] = []

    def receive(self, data: bytes, *, cuts: int = 1 << 30) -> list[Any]:
        for start in range(0, len(data), cuts):
            self.events += self.core.receive(data[start : start + cuts])
        return self.events

    def take(self) -> bytes:
        out = []
        while parts := self.core.take():
            out += parts
        return b"".join(out)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def data(self) -> bytes:
        return b"".join(bytes(piece) for event in self.of(events.DataReceived) for piece in event.pieces)

    def failure(self) -> int | None:
        failed = self.of(events.ConnectionFailed)
        return failed[0].code if failed else None


def theirs(*, client: bool = True) -> h2.connection.H2Connection:
    config = h2.config.H2Configuration(client_side=client, header_encoding=None)
    connection = h2.connection.H2Connection(config)
    connection.initiate_connection()
    return connection


def greeted(**how: Any) -> tuple[Ours, h2.connection.H2Connection]:
    """Our server and a client of h2's that know each other."""
    ours, peer = Ours(**how), theirs()
    ours.receive(peer.data_to_send())
    peer.receive_data(ours.take())
    ours.receive(peer.data_to_send())
    ours.events.clear()
    return ours, peer


def raw_server(**how: Any) -> Ours:
    """Our server after a greeting, to be fed with frames."""
    ours = Ours(**how)
    ours.receive(frames.PREFACE + frames.settings_frame({}))
    ours.take()
    ours.events.clear()
    return ours


def headers(stream: int, block: bytes = REQUEST_BLOCK, flags: int = frames.END_HEADERS) -> bytes:
    return frames.frame(frames.HEADERS, flags, stream, block)


def data(stream: int, payload: bytes, flags: int = 0) -> bytes:
    return frames.frame(frames.DATA, flags, stream, payload)


@given(st.lists(st.binary(max_size=3000), max_size=6), st.integers(1, 400), st.integers(0, 255), st.booleans())
@settings(max_examples=60)
def test_a_request_of_h2_arrives_however_it_is_cut(parts: list[bytes], cuts: int, padding: int, trail: bool) -> None:
    ours, peer = greeted()
    peer.send_headers(1, REQUEST)
    for part in parts:
        peer.send_data(1, part, pad_length=padding or None)
    if trail:
        peer.send_headers(1, [("x-trailer", "1")], end_stream=True)
    else:
        peer.end_stream(1)
    ours.receive(peer.data_to_send(), cuts=cuts)
    first = ours.events[0]
    assert [(name.decode(), value.decode()) for name, value in first.block.fields] == REQUEST
    assert ours.data() == b"".join(parts)
    assert ours.events[-1].ended
    received = sum(len(part) + (padding + 1 if padding else 0) for part in parts)
    assert sum(event.size for event in ours.of(events.DataReceived)) == received


@given(
    st.lists(st.binary(min_size=1, max_size=40_000), min_size=1, max_size=8),
    st.integers(1, 5),
    st.integers(0, 100_000),
    st.integers(16_384, 100_000),
)
@settings(max_examples=60, deadline=None)
def test_what_we_send_arrives_at_h2_within_its_windows(
    parts: list[bytes], streams: int, window: int, largest: int
) -> None:
    peer, ours = theirs(), Ours()
    peer.update_settings(
        {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window, h2.settings.SettingCodes.MAX_FRAME_SIZE: largest}
    )
    for number in range(streams):
        peer.send_headers(2 * number + 1, REQUEST, end_stream=True)
    ours.receive(peer.data_to_send())
    for event in ours.of(events.HeadersReceived):
        ours.core.send_headers(event.stream, RESPONSE)
        for part in parts:
            ours.core.send_data(event.stream, [part], len(part))
        ours.core.send_trailers(event.stream, TRAILERS)
    got: dict[int, bytes] = dict.fromkeys(range(1, 2 * streams, 2), b"")
    ended: set[int] = set()
    for _ in range(10_000):
        received = peer.receive_data(ours.take())
        ended |= {event.stream_id for event in received if isinstance(event, h2.events.StreamEnded)}
        for event in received:
            if isinstance(event, h2.events.DataReceived):
                got[event.stream_id] += event.data
                peer.increment_flow_control_window(event.flow_controlled_length)
                if event.stream_id not in ended:
                    peer.increment_flow_control_window(event.flow_controlled_length, event.stream_id)
        if len(ended) == streams:
            break
        if window == 0:
            window = 1
            peer.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 70_000})
        ours.receive(peer.data_to_send())
    assert ended == set(got)
    assert set(got.values()) == {b"".join(parts)}
    assert ours.core.streams == {}


def test_our_client_talks_to_a_server_of_h2() -> None:
    ours, peer = Ours(client=True), theirs(client=False)
    peer.receive_data(ours.take())
    ours.receive(peer.data_to_send())
    for number in (1, 3, 5):
        stream = ours.core.open()
        ours.core.send_headers(stream, REQUEST_BLOCK)
        ours.core.send_data(stream, [b"ask"], 3, end=True)
        kinds = [type(event).__name__ for event in peer.receive_data(ours.take())]
        assert kinds[-3:] == ["RequestReceived", "DataReceived", "StreamEnded"]
        peer.send_headers(number, [(":status", "200"), ("content-type", "application/grpc")])
        peer.send_data(number, b"answer")
        peer.send_headers(number, [("grpc-status", "0")], end_stream=True)
        ours.events.clear()
        ours.receive(peer.data_to_send(), cuts=7)
        assert [type(event) for event in ours.events] == [
            events.HeadersReceived,
            events.DataReceived,
            events.HeadersReceived,
        ]
        assert ours.data() == b"answer"
    assert ours.core.streams == {}


def test_a_header_block_in_many_pieces_is_one() -> None:
    ours = raw_server()
    large = encode([(b"x-large", b"v" * 20_000)])
    block = REQUEST_BLOCK + large
    wire = headers(1, block[:10], frames.END_STREAM)
    wire += b"".join(
        frames.frame(
            frames.CONTINUATION, frames.END_HEADERS if at + 5000 >= len(block) else 0, 1, block[at : at + 5000]
        )
        for at in range(10, len(block), 5000)
    )
    ours.receive(wire, cuts=1000)
    assert len(ours.events[0].block.fields) == len(REQUEST) + 1
    assert ours.events[0].ended


def test_a_header_block_that_we_send_is_cut_to_the_peers_limit() -> None:
    ours, peer = greeted()
    peer.send_headers(1, REQUEST, end_stream=True)
    ours.receive(peer.data_to_send())
    block = encode([(b":status", b"200"), (b"x-large", b"v" * 60_000)])
    ours.core.send_headers(ours.events[0].stream, block, end=True)
    received = peer.receive_data(ours.take())
    assert [type(event).__name__ for event in received] == ["ResponseReceived", "StreamEnded"]


def test_a_smaller_initial_window_holds_open_streams_back() -> None:
    ours = raw_server()
    ours.receive(headers(1, flags=frames.END_HEADERS | frames.END_STREAM))
    stream = ours.events[0].stream
    ours.core.send_headers(stream, RESPONSE)
    ours.core.send_data(stream, [b"x" * 1000], 1000)
    ours.take()
    ours.receive(frames.settings_frame({Setting.INITIAL_WINDOW_SIZE: 500}))
    assert stream.send_window == -500
    ours.core.send_data(stream, [b"y" * 100], 100)
    assert b"y" not in ours.take()
    ours.receive(frames.window_update(1, 501))
    assert ours.take() == data(1, b"y")
    ours.receive(frames.settings_frame({Setting.INITIAL_WINDOW_SIZE: 600}))
    assert data(1, b"y" * 99) in ours.take()


def test_an_outbox_tells_when_it_is_low() -> None:
    ours = raw_server()
    ours.receive(headers(1, flags=frames.END_HEADERS | frames.END_STREAM))
    stream = ours.events[0].stream
    ours.core.send_data(stream, [b"x" * 100_000], 100_000)
    ours.take()
    assert (stream.outbox_size, ours.drained) == (100_000 - 65_535, [])
    ours.receive(frames.window_update(1, 10_000) + frames.window_update(0, 10_000))
    ours.take()
    assert ours.drained == [stream]


def test_nothing_but_control_goes_into_a_transport_that_has_enough() -> None:
    ours = raw_server()
    ours.receive(headers(1, flags=frames.END_HEADERS | frames.END_STREAM))
    ours.core.out.paused = True
    ours.core.send_data(ours.events[0].stream, [b"x" * 100], 100)
    assert b"x" not in ours.take()
    ours.core.out.paused = False
    assert data(1, b"x" * 100) == ours.take()


def test_streams_that_wait_for_the_connection_take_turns() -> None:
    ours = raw_server()
    ours.receive(frames.settings_frame({Setting.INITIAL_WINDOW_SIZE: 1 << 20}))
    for number in (1, 3):
        ours.receive(headers(number, flags=frames.END_HEADERS | frames.END_STREAM))
    for event in ours.of(events.HeadersReceived):
        ours.core.send_data(event.stream, [bytes(500_000)], 500_000)
    ours.receive(frames.window_update(0, 300_000))
    ours.take()
    sizes = [stream.outbox_size for stream in ours.core.streams.values()]
    assert abs(sizes[0] - sizes[1]) <= 65_536


def test_reading_opens_the_window_of_the_stream() -> None:
    limits = Limits(stream_window=1000, connection_window=100_000)
    ours = raw_server(limits=limits)
    ours.receive(headers(1) + data(1, b"x" * 600))
    stream = ours.events[0].stream
    assert ours.take() == b""
    ours.core.consume(stream, 600)
    assert ours.take() == frames.window_update(1, 600)


def test_unread_data_over_the_limit_keeps_the_connection_closed() -> None:
    limits = Limits(stream_window=100_000, connection_window=100_000, held=60_000)
    ours = raw_server(limits=limits)
    ours.receive(headers(1) + data(1, b"x" * 50_000))
    assert ours.take() == frames.window_update(0, 50_000)
    ours.receive(data(1, b"x" * 50_000))
    assert ours.take() == b""
    ours.core.consume(ours.events[0].stream, 100_000)
    assert frames.window_update(0, 50_000) in ours.take()


def test_an_early_answer_tells_the_client_to_stop_and_forgives_what_is_under_way() -> None:
    ours = raw_server()
    ours.receive(headers(1))
    ours.core.send_headers(ours.events[0].stream, RESPONSE, end=True)
    assert ours.take().endswith(frames.rst_stream(1, ErrorCode.NO_ERROR))
    ours.receive(data(1, b"late", frames.END_STREAM))
    assert (ours.failure(), ours.take(), len(ours.events)) == (None, b"", 1)


def test_streams_after_the_final_goaway_are_refused() -> None:
    ours = raw_server()
    ours.receive(headers(1))
    ours.core.go_away(final=True)
    ours.receive(headers(3))
    assert ours.take().endswith(frames.rst_stream(3, ErrorCode.REFUSED_STREAM))
    assert len(ours.of(events.HeadersReceived)) == 1


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (data(0, b"x"), ErrorCode.PROTOCOL_ERROR),
        (data(5, b"x"), ErrorCode.PROTOCOL_ERROR),
        (headers(2), ErrorCode.PROTOCOL_ERROR),
        (headers(1) + headers(1), None),
        (headers(3) + headers(1), ErrorCode.STREAM_CLOSED),
        (frames.frame(frames.PING, 0, 0, b"short"), ErrorCode.FRAME_SIZE_ERROR),
        (frames.frame(frames.PING, 0, 1, b"12345678"), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(frames.SETTINGS, 0, 1), ErrorCode.PROTOCOL_ERROR),
        (frames.settings_frame({Setting.MAX_FRAME_SIZE: 100}), ErrorCode.PROTOCOL_ERROR),
        (frames.settings_frame({Setting.INITIAL_WINDOW_SIZE: 1 << 31}), ErrorCode.FLOW_CONTROL_ERROR),
        (frames.window_update(0, 0), ErrorCode.PROTOCOL_ERROR),
        (frames.window_update(0, (1 << 31) - 1), ErrorCode.FLOW_CONTROL_ERROR),
        (frames.rst_stream(1, 8), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(frames.PUSH_PROMISE, 0, 1, b"\x00\x00\x00\x02"), ErrorCode.PROTOCOL_ERROR),
        (frames.frame(frames.CONTINUATION, 0, 1), ErrorCode.PROTOCOL_ERROR),
        (headers(1, flags=0) + data(1, b""), ErrorCode.PROTOCOL_ERROR),
        (headers(1, b"\xff", frames.END_HEADERS), ErrorCode.COMPRESSION_ERROR),
        (frames.HEADER.pack((1 << 20) << 8, 0, 1), ErrorCode.FRAME_SIZE_ERROR),
        (frames.frame(99, 0, 1, b"unknown kinds are ignored"), None),
    ],
)
def test_who_breaks_the_protocol_is_told_how(wire: bytes, code: ErrorCode | None) -> None:
    ours = raw_server()
    ours.receive(wire)
    assert ours.failure() == code
    said = ours.take()
    assert (said[3:4] == bytes((frames.GOAWAY,))) == (code is not None)


@pytest.mark.parametrize(
    "fields",
    [
        [(b":method", b"POST"), (b":path", b"/"), (b":scheme", b"http"), (b"Upper", b"x")],
        [(b":method", b"POST"), (b":path", b"/"), (b":scheme", b"http"), (b"connection", b"close")],
        [(b":method", b"POST"), (b":path", b"/"), (b":scheme", b"http"), (b"te", b"gzip")],
        [(b":method", b"POST"), (b":path", b"/"), (b":scheme", b"http"), (b"x", b"a\r\nb: c")],
        [(b":method", b"POST"), (b":path", b""), (b":scheme", b"http")],
        [(b":method", b"POST"), (b":path", b"/")],
        [(b":method", b"POST"), (b":path", b"/"), (b":path", b"/"), (b":scheme", b"http")],
        [(b":method", b"POST"), (b":path", b"/"), (b"x", b"y"), (b":scheme", b"http")],
        [(b":method", b"POST"), (b":path", b"/"), (b":scheme", b"http"), (b":status", b"200")],
        [(b":method", b"POST"), (b":path", b"/"), (b":scheme", b"http"), (b"content-length", b"-1")],
    ],
)
def test_a_malformed_request_is_no_request(fields: list[tuple[bytes, bytes]]) -> None:
    ours = raw_server()
    ours.receive(headers(1, encode(fields)))
    assert ours.take() == frames.rst_stream(1, ErrorCode.PROTOCOL_ERROR)
    assert (ours.events, ours.core.streams, ours.failure()) == ([], {}, None)


FLOODS = {
    "pings": lambda number: frames.frame(frames.PING, 0, 0, b"12345678"),
    "settings": lambda number: frames.settings_frame({}),
    "priorities": lambda number: frames.frame(frames.PRIORITY, 0, 1, b"\x00\x00\x00\x03\x01"),
    "unknown": lambda number: frames.frame(77, 0, 0),
    "empty data": lambda number: (headers(1) if not number else b"") + data(1, b""),
    "empty continuations": lambda number: (
        headers(1, flags=0) if not number else frames.frame(frames.CONTINUATION, 0, 1)
    ),
    "continuations": lambda number: (
        headers(1, flags=0) if not number else frames.frame(frames.CONTINUATION, 0, 1, b"\x82" * 16_000)
    ),
    "rapid resets": lambda number: headers(2 * number + 1) + frames.rst_stream(2 * number + 1, 8),
    "resets that we are made to send": lambda number: headers(2 * number + 1) + frames.window_update(2 * number + 1, 0),
    "too many streams": lambda number: headers(2 * number + 1),
    "resets of what was answered": lambda number: (
        headers(2 * number + 1, b"\x82", frames.END_HEADERS) + frames.rst_stream(2 * number + 1, 8)
    ),
}


@pytest.mark.parametrize("flood", sorted(FLOODS))
def test_a_flood_ends_the_connection(flood: str) -> None:
    limits = Limits(control_burst=100, reset_burst=50, concurrent_streams=20)
    ours = raw_server(limits=limits)
    for number in range(1000):
        ours.receive(FLOODS[flood](number))
        if ours.failure() is not None:
            break
    assert ours.failure() == ErrorCode.ENHANCE_YOUR_CALM
    assert len(ours.core.streams) <= 20


def test_what_is_allowed_comes_back_with_time() -> None:
    ours = raw_server(limits=Limits(control_burst=10, control_per_s=10))
    for _ in range(50):
        ours.receive(FLOODS["pings"](0) * 5)
        ours.now += 1
    assert ours.failure() is None


def test_settings_that_move_the_windows_of_many_streams_cost_more() -> None:
    ours = raw_server(limits=Limits(control_burst=100, control_per_s=0))
    for number in range(640):
        ours.receive(headers(2 * number + 1))
    sizes = b"".join(struct.pack(">HI", Setting.INITIAL_WINDOW_SIZE, 100_000 + number) for number in range(20))
    ours.receive(frames.frame(frames.SETTINGS, 0, 0, sizes))
    assert ours.failure() == ErrorCode.ENHANCE_YOUR_CALM


def test_pings_for_what_we_sent_are_free() -> None:
    ours = raw_server(limits=Limits(control_burst=10, control_per_s=0))
    ours.receive(headers(1, flags=frames.END_HEADERS | frames.END_STREAM))
    stream = ours.events[0].stream
    for _ in range(1000):
        ours.core.send_data(stream, [b"x"], 1)
        ours.receive(FLOODS["pings"](0))
    assert ours.failure() is None


def test_answers_that_nobody_reads_end_the_connection() -> None:
    ours = raw_server(limits=Limits(unsent_control=1000))
    ours.core.out.paused = True
    for _ in range(1000):
        ours.receive(FLOODS["pings"](0))
        ours.take()
        if ours.failure() is not None:
            break
    assert ours.failure() == ErrorCode.ENHANCE_YOUR_CALM


def test_data_over_a_window_ends_the_stream_or_the_connection() -> None:
    ours = raw_server(limits=Limits(stream_window=1000))
    ours.receive(headers(1) + data(1, b"x" * 1001))
    assert frames.rst_stream(1, ErrorCode.FLOW_CONTROL_ERROR) in ours.take()
    assert ours.failure() is None
    ours = raw_server(limits=Limits(stream_window=1 << 20, connection_window=70_000, held=0))
    ours.receive(headers(1) + data(1, b"x" * 40_000))
    assert ours.failure() is None
    ours.receive(data(1, b"x" * 30_001))
    assert ours.failure() == ErrorCode.FLOW_CONTROL_ERROR


def test_a_client_takes_no_push_and_no_second_answer() -> None:
    ours = Ours(client=True)
    ours.take()
    stream = ours.core.open()
    ours.core.send_headers(stream, REQUEST_BLOCK, end=True)
    ours.receive(frames.settings_frame({}) + headers(1, RESPONSE) + headers(1, RESPONSE))
    assert [event.local for event in ours.of(events.StreamReset)] == [True]


def test_an_informational_answer_is_none() -> None:
    ours = Ours(client=True)
    stream = ours.core.open()
    ours.core.send_headers(stream, REQUEST_BLOCK, end=True)
    ours.receive(frames.settings_frame({}) + headers(1, encode([(b":status", b"103")])) + headers(1, RESPONSE))
    assert [event.block.fields for event in ours.of(events.HeadersReceived)] == [((b":status", b"200"),)]


def test_an_informational_answer_that_ends_the_stream_breaks_it() -> None:
    ours = Ours(client=True)
    stream = ours.core.open()
    ours.core.send_headers(stream, REQUEST_BLOCK, end=True)
    flags = frames.END_HEADERS | frames.END_STREAM
    ours.receive(frames.settings_frame({}) + headers(1, encode([(b":status", b"100")]), flags))
    assert [event.local for event in ours.of(events.StreamReset)] == [True]
