"""One HTTP/2 connection, server or client: bytes to events, and what it answers by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pycontainerd.rpc.http2 import frames, heads
from pycontainerd.rpc.http2.compression import NO_TABLE, Decoder, HeaderBlock
from pycontainerd.rpc.http2.events import (
    ConnectionFailed,
    DataReceived,
    Event,
    GoAway,
    HeadersReceived,
    PingAnswered,
    SettingsReceived,
    StreamReset,
)
from pycontainerd.rpc.http2.frames import ErrorCode, ProtocolError, Setting
from pycontainerd.rpc.http2.inbound import Inbound
from pycontainerd.rpc.http2.limits import Budget, Limits
from pycontainerd.rpc.http2.outbound import Outbound, Piece
from pycontainerd.rpc.http2.reader import FrameReader
from pycontainerd.rpc.http2.semantics import Malformed
from pycontainerd.rpc.http2.stream import Stream

_CRUMB: Final = 16
"""Opening a window by less than this makes us send frames that are hardly more than their head."""

_STREAMS_A_UNIT: Final = 64
"""Open streams whose windows a peer may change at the price of one frame that moves nothing."""

_REMEMBERED: Final = 1000
"""Streams that we ended before the peer did: what still comes for them is no fault of the peer's."""


class Http2Connection:
    """One side of a connection.

    `receive` takes bytes and returns events; what is to be sent is taken with `take`, until that gives nothing.
    *drained* hears of streams whose outbox ran low. Data that was read is given back with `consume`.
    """

    __slots__ = (
        "_assembling",
        "_block",
        "_block_size",
        "_control",
        "_decoder",
        "_ended_early",
        "_first_block",
        "_greeted",
        "_inbound",
        "_last_local",
        "_last_peer",
        "_limits",
        "_reader",
        "_resets",
        "client",
        "consume",
        "failed",
        "leaving",
        "out",
        "peer_streams",
        "streams",
        "take",
    )

    def __init__(
        self,
        *,
        client: bool,
        limits: Limits,
        clock: Callable[[], float],
        drained: Callable[[Stream], None],
    ) -> None:
        self.client = client
        self.streams: dict[int, Stream] = {}
        self.out = Outbound(drained, self._ended_locally)
        self.peer_streams = frames.LARGEST_STREAM
        """Streams that the peer takes at once."""
        self.failed = False
        self.leaving = False
        """Whether GOAWAY was sent: streams of the peer that begin now are refused."""
        self.take = self.out.take
        """The pieces that are to be sent now; none when there are none."""
        self._limits = limits
        self._control = Budget(limits.control_burst, limits.control_per_s, clock)
        self._resets = Budget(limits.reset_burst, limits.reset_per_s, clock)
        self._inbound = Inbound(limits, self.out.control)
        self.consume = self._inbound.consume
        """`consume(stream, size)`: *size* bytes of the stream were read, the peer may send as many again."""
        self._decoder = Decoder(limits.header_list)
        self._reader = FrameReader(preface=not client, limit=limits.max_frame)
        self._greeted = False
        self._block: list[bytes] = []
        self._block_size = 0
        self._assembling: tuple[int, int] | None = None
        self._first_block = True
        self._last_peer = 0
        self._last_local = -1 if client else 0
        self._ended_early: dict[int, None] = {}
        self._greet()

    def receive(self, data: bytes) -> list[Event]:
        """Takes what the peer sent, cut anywhere, and returns what happened."""
        events: list[Event] = []
        if self.failed:
            return events
        try:
            self._handle(data, events)
            self._inbound.open()
        except ProtocolError as error:
            self.fail(error.code, error.message)
            events.append(ConnectionFailed(error.code, error.message))
        return events

    def open(self) -> Stream:
        """Begins a stream of our own; its headers must be sent next."""
        self._last_local += 2
        stream = Stream(self._last_local, self.out.initial_window, self._limits.stream_window)
        self.streams[stream.id] = stream
        return stream

    @property
    def exhausted(self) -> bool:
        """Whether no stream number is left for `open`."""
        return self._last_local > frames.LARGEST_STREAM - 2

    def send_headers(self, stream: Stream, block: bytes, *, end: bool = False) -> None:
        """Sends header fields (a block of `compression.encode`) as the first of the stream."""
        if self._first_block:
            self._first_block = False
            block = NO_TABLE + block
        self.out.headers(stream, block, end=end)

    def send_data(self, stream: Stream, pieces: list[Piece], size: int, *, end: bool = False) -> None:
        """Sends *pieces*, *size* bytes; what the windows don't allow yet waits in the stream's outbox."""
        self.out.data(stream, pieces, size, end=end)

    def send_trailers(self, stream: Stream, block: bytes) -> None:
        """Ends the stream with header fields, after all of its data."""
        self.out.finish(stream, block)

    def reset(self, stream: Stream, code: int) -> None:
        """Ends the stream both ways, now."""
        if stream.id in self.streams:
            self.out.control(frames.rst_stream(stream.id, code))
            self._drop(stream, early=not stream.remote_closed)

    def ping(self, payload: bytes) -> None:
        """Asks the peer for a sign of life: 8 bytes, which come back in PingAnswered."""
        self.out.control(frames.frame(frames.PING, 0, 0, payload))

    def go_away(self, *, final: bool) -> None:
        """Tells the peer to begin no more streams; *final* refuses those that begin nevertheless."""
        self.leaving = final
        last = self._last_peer if final else frames.LARGEST_STREAM
        self.out.control(frames.goaway(last, ErrorCode.NO_ERROR))

    def fail(self, code: int, message: str) -> None:
        """Ends the connection with an error; nothing is received any more."""
        self.failed = True
        self.out.control(frames.goaway(self._last_peer, code, message))

    # The rest is how bytes become events.

    def _greet(self) -> None:
        limits = self._limits
        settings = {
            Setting.INITIAL_WINDOW_SIZE: limits.stream_window,
            Setting.MAX_FRAME_SIZE: limits.max_frame,
            Setting.MAX_HEADER_LIST_SIZE: limits.header_list,
        }
        if self.client:
            self.out.control(frames.PREFACE)
            settings[Setting.ENABLE_PUSH] = 0
        else:
            settings[Setting.MAX_CONCURRENT_STREAMS] = limits.concurrent_streams
        self.out.control(frames.settings_frame(settings))
        self.out.control(frames.window_update(0, limits.connection_window - frames.DEFAULT_WINDOW))

    def _handle(self, data: bytes, events: list[Event]) -> None:
        for kind, flags, number, payload in self._reader.feed(data):
            if not self._greeted or self._assembling is not None:
                self._check_order(kind, flags, number)
            if kind == frames.DATA:
                self._on_data(flags, number, payload, events)
            else:
                handler = _HANDLERS.get(kind)
                if handler is not None:
                    handler(self, flags, number, payload, events)
                else:
                    self._spend()
        if self._reader.fault is not None:
            raise self._reader.fault
        if self.out.queued > self._limits.unsent_control and self.out.paused:
            raise ProtocolError(ErrorCode.ENHANCE_YOUR_CALM, "peer does not read the answers to its frames")

    def _check_order(self, kind: int, flags: int, number: int) -> None:
        if not self._greeted:
            if kind != frames.SETTINGS or flags & frames.ACK:
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._greeted = True
        if self._assembling is not None and (kind != frames.CONTINUATION or number != self._assembling[0]):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "header block is broken off by another frame")

    def _on_data(self, flags: int, number: int, payload: bytes | memoryview, events: list[Event]) -> None:
        size = len(payload)
        self._inbound.arrived(size)
        if flags & frames.PADDED:
            payload = frames.unpadded(payload)
        stream = self.streams.get(number)
        if stream is None or stream.remote_closed:
            self._stray_data(number, stream, events)
            return
        ended = bool(flags & frames.END_STREAM)
        if not size and not ended:
            self._spend()
        if not self._inbound.hold(stream, size):
            self._break(stream, ErrorCode.FLOW_CONTROL_ERROR, events)
            return
        if not self._check_body(stream, len(payload), ended=ended):
            self._break(stream, ErrorCode.PROTOCOL_ERROR, events)
            return
        last = events[-1] if events else None
        if type(last) is DataReceived and last.stream is stream:
            last.pieces.append(payload)
            last.size += size
            last.ended = ended
        else:
            events.append(DataReceived(stream, payload, size, ended=ended))
        if ended:
            self._ended_remotely(stream)

    def _check_body(self, stream: Stream, size: int, *, ended: bool) -> bool:
        if not stream.responded:
            return False
        if stream.expected < 0:
            return True
        stream.expected -= size
        return stream.expected >= 0 and not (ended and stream.expected)

    def _stray_data(self, number: int, stream: Stream | None, events: list[Event]) -> None:
        if stream is not None:
            self._break(stream, ErrorCode.STREAM_CLOSED, events)
        elif self._is_idle(number):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, f"data on stream {number}, which never began")
        elif number not in self._ended_early:
            self._spend()
            self.out.control(frames.rst_stream(number, ErrorCode.STREAM_CLOSED))

    def _on_headers(self, flags: int, number: int, payload: bytes, events: list[Event]) -> None:
        if not number:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0")
        self._add_fragment(frames.fragment_of(flags, number, payload))
        self._assembling = (number, flags)
        if flags & frames.END_HEADERS:
            self._block_complete(events)

    def _on_continuation(self, flags: int, number: int, payload: bytes, events: list[Event]) -> None:
        if self._assembling is None:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "CONTINUATION of nothing")
        if not payload:
            self._spend()
        self._add_fragment(payload)
        if flags & frames.END_HEADERS:
            self._block_complete(events)

    def _add_fragment(self, payload: bytes) -> None:
        self._block.append(payload)
        self._block_size += len(payload)
        if len(self._block) > 1 and self._block_size > self._limits.header_list:
            raise ProtocolError(ErrorCode.ENHANCE_YOUR_CALM, f"header block over {self._limits.header_list} bytes")

    def _block_complete(self, events: list[Event]) -> None:
        parts, self._block, self._block_size = self._block, [], 0
        assembling, self._assembling = self._assembling, None
        if assembling is None:
            return
        number, flags = assembling
        # Decoded always, whatever becomes of the stream: the table of the peer has changed with it.
        block = self._decoder.decode(parts[0] if len(parts) == 1 else b"".join(parts))
        ended = bool(flags & frames.END_STREAM)
        stream = self.streams.get(number)
        if stream is not None:
            self._more_headers(stream, block, events, ended=ended)
        elif self.client or number <= self._last_peer or not number & 1:
            self._stray_headers(number)
        else:
            self._begin(number, block, events, ended=ended)

    def _begin(self, number: int, block: HeaderBlock, events: list[Event], *, ended: bool) -> None:
        """A client begins a stream."""
        self._last_peer = number
        if self.leaving or len(self.streams) >= self._limits.concurrent_streams:
            self._refuse(number, ErrorCode.REFUSED_STREAM)
            return
        stream = Stream(number, self.out.initial_window, self._limits.stream_window)
        try:
            heads.begin(stream, block, ended=ended)
        except Malformed:
            self._refuse(number, ErrorCode.PROTOCOL_ERROR)
            return
        self.streams[number] = stream
        events.append(HeadersReceived(stream, block, ended=ended))
        if ended:
            self._ended_remotely(stream)

    def _more_headers(self, stream: Stream, block: HeaderBlock, events: list[Event], *, ended: bool) -> None:
        """Trailers, or the response to a client."""
        if stream.remote_closed:
            raise ProtocolError(ErrorCode.STREAM_CLOSED, f"headers on stream {stream.id} after its end")
        try:
            heads.go_on(stream, block, ended=ended)
        except Malformed:
            self._break(stream, ErrorCode.PROTOCOL_ERROR, events)
            return
        if stream.responded:
            events.append(HeadersReceived(stream, block, ended=ended))
        if ended:
            self._ended_remotely(stream)

    def _stray_headers(self, number: int) -> None:
        if number in self._ended_early:
            return
        if self._is_idle(number) or (self.client and not number & 1):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, f"headers on stream {number}, which can't begin")
        raise ProtocolError(ErrorCode.STREAM_CLOSED, f"headers on stream {number} after its end")

    def _on_priority(self, flags: int, number: int, payload: bytes, events: list[Event]) -> None:
        self._spend()
        frames.check_priority(number, payload)

    def _on_reset(self, flags: int, number: int, payload: bytes, events: list[Event]) -> None:
        if len(payload) != 4:
            raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM of a length other than 4")
        if self._is_idle(number):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, f"reset of stream {number}, which never began")
        stream = self.streams.get(number)
        if stream is None:
            self._spend()
            return
        if not self.client and not self._resets.spend():
            raise ProtocolError(ErrorCode.ENHANCE_YOUR_CALM, "too many streams are begun and reset")
        self._drop(stream, early=False)
        events.append(StreamReset(stream, frames.word(payload)))

    def _on_settings(self, flags: int, number: int, payload: bytes, events: list[Event]) -> None:
        if number:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & frames.ACK:
            if payload:
                raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "acknowledgement of SETTINGS with a payload")
            return
        self._spend()
        for setting, value in frames.parse_settings(payload):
            self._apply_setting(setting, value)
        self.out.control(frames.frame(frames.SETTINGS, frames.ACK, 0))
        events.append(SettingsReceived())

    def _apply_setting(self, setting: int, value: int) -> None:
        if setting == Setting.INITIAL_WINDOW_SIZE:
            if value > frames.LARGEST_WINDOW:
                raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, f"initial window of {value} bytes")
            change = value - self.out.initial_window
            if not change:
                return
            self._spend(len(self.streams) // _STREAMS_A_UNIT)
            self.out.initial_window = value
            for stream in self.streams.values():
                if not self.out.open_stream_window(stream, change):
                    raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "window of a stream overflows")
        elif setting == Setting.MAX_FRAME_SIZE:
            if not frames.SMALLEST_MAX_FRAME <= value <= frames.LARGEST_MAX_FRAME:
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, f"max frame size of {value} bytes")
            self.out.max_frame = min(value, self._limits.max_frame)
        elif setting == Setting.MAX_CONCURRENT_STREAMS:
            self.peer_streams = value
        elif setting == Setting.ENABLE_PUSH and (value > 1 or (self.client and value)):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, f"ENABLE_PUSH {value}")

    def _on_push(self, flags: int, number: int, payload: bytes, events: list[Event]) -> None:
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE, which nobody allowed")

    def _on_ping(self, flags: int, number: int, payload: bytes, events: list[Event]) -> None:
        if number:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "PING of a length other than 8")
        if flags & frames.ACK:
            events.append(PingAnswered(payload))
            return
        # Go's clients measure the bandwidth with a ping whenever data comes: one for what we sent is free.
        if self.out.moved:
            self.out.moved = False
        else:
            self._spend()
        self.out.control(frames.frame(frames.PING, frames.ACK, 0, payload))

    def _on_goaway(self, flags: int, number: int, payload: bytes, events: list[Event]) -> None:
        if number:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY too short")
        self._spend()
        message = payload[8:264].decode(errors="replace")
        events.append(GoAway(frames.word(payload) & frames.LARGEST_STREAM, frames.word(payload, 4), message))

    def _on_window_update(self, flags: int, number: int, payload: bytes, events: list[Event]) -> None:
        if len(payload) != 4:
            raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE of a length other than 4")
        increment = frames.word(payload) & frames.LARGEST_STREAM
        if not number:
            if not increment:
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "window of the connection opened by 0")
            self.out.open_window(increment)
            return
        stream = self.streams.get(number)
        if stream is None:
            if self._is_idle(number):
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, f"window of stream {number}, which never began")
            return
        if increment < _CRUMB and stream.outbox:
            self._spend()
        if not increment:
            self._break(stream, ErrorCode.PROTOCOL_ERROR, events)
        elif not self.out.open_stream_window(stream, increment):
            self._break(stream, ErrorCode.FLOW_CONTROL_ERROR, events)

    def _is_idle(self, number: int) -> bool:
        """Whether the stream has never begun."""
        ours = bool(number & 1) == self.client
        return not number or number > (self._last_local if ours else self._last_peer)

    def _spend(self, units: int = 1) -> None:
        if not self._control.spend(units):
            raise ProtocolError(ErrorCode.ENHANCE_YOUR_CALM, "too many frames that move nothing")

    def _refuse(self, number: int, code: ErrorCode) -> None:
        self._spend()
        self.out.control(frames.rst_stream(number, code))
        self._remember(number)

    def _break(self, stream: Stream, code: ErrorCode, events: list[Event]) -> None:
        """The peer broke the protocol on one stream: that one ends, as if it had been reset."""
        if not self._resets.spend():
            raise ProtocolError(ErrorCode.ENHANCE_YOUR_CALM, "too many streams are broken")
        self.out.control(frames.rst_stream(stream.id, code))
        self._drop(stream, early=True)
        events.append(StreamReset(stream, code, local=True))

    def _ended_remotely(self, stream: Stream) -> None:
        stream.remote_closed = True
        if stream.local_closed:
            self._drop(stream, early=False)

    def _ended_locally(self, stream: Stream) -> None:
        if stream.remote_closed:
            self._drop(stream, early=False)
        elif not self.client:
            # An answer before the end of the request: the client may stop sending (RFC 9113, section 8.1).
            self.out.control(frames.rst_stream(stream.id, ErrorCode.NO_ERROR))
            self._drop(stream, early=True)

    def _drop(self, stream: Stream, *, early: bool) -> None:
        self.streams.pop(stream.id, None)
        self.out.discard(stream)
        stream.remote_closed = True
        self._inbound.drop(stream)
        if early:
            self._remember(stream.id)

    def _remember(self, number: int) -> None:
        self._ended_early[number] = None
        if len(self._ended_early) > _REMEMBERED:
            del self._ended_early[next(iter(self._ended_early))]


_HANDLERS: Final[dict[int, Callable[..., None]]] = {
    frames.HEADERS: Http2Connection._on_headers,
    frames.PRIORITY: Http2Connection._on_priority,
    frames.RST_STREAM: Http2Connection._on_reset,
    frames.SETTINGS: Http2Connection._on_settings,
    frames.PUSH_PROMISE: Http2Connection._on_push,
    frames.PING: Http2Connection._on_ping,
    frames.GOAWAY: Http2Connection._on_goaway,
    frames.WINDOW_UPDATE: Http2Connection._on_window_update,
    frames.CONTINUATION: Http2Connection._on_continuation,
}
