"""What goes out: frames that may go now, and outboxes that wait for a window or for the transport."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from pycontainerd.rpc.http2.frames import (
    CONTINUATION,
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    HEADER,
    HEADERS,
    LARGEST_WINDOW,
    SMALLEST_MAX_FRAME,
    ErrorCode,
    ProtocolError,
)
from pycontainerd.rpc.http2.stream import Stream

Piece = bytes | memoryview

_QUOTA: Final = 256 * 1024
"""Bytes of outboxes that one `take` gives, so that a full transport is noticed between."""

_TURN: Final = 64 * 1024
"""Bytes that one stream sends before it is the next one's turn."""

LOW_WATER: Final = 32 * 1024
"""An outbox at or below this is called drained."""


class Outbound:
    """The sending half of a connection. Windows are in bytes.

    *drained* hears of outboxes that ran low, *ended* of streams on which nothing more will be sent.
    """

    __slots__ = (
        "_drained",
        "_ended",
        "_parts",
        "_ready",
        "initial_window",
        "max_frame",
        "moved",
        "paused",
        "queued",
        "queued_heads",
        "window",
    )

    def __init__(self, drained: Callable[[Stream], None], ended: Callable[[Stream], None]) -> None:
        self.max_frame = SMALLEST_MAX_FRAME
        self.window = DEFAULT_WINDOW
        self.initial_window = DEFAULT_WINDOW
        self.paused = False
        """Whether the transport has enough; control frames are queued still."""
        self.moved = False
        """Whether headers or data went out; who looks at it sets it back."""
        self.queued = 0
        """Bytes of control frames that the transport, which is paused, was given nevertheless."""
        self.queued_heads = 0
        """Bytes of header fields that it was given nevertheless: no window holds them back."""
        self._drained = drained
        self._ended = ended
        self._parts: list[Piece] = []
        self._ready: dict[int, Stream] = {}

    def control(self, frame: bytes) -> None:
        """Queues a frame that no window holds back."""
        self._parts.append(frame)
        self.queued += len(frame)

    def headers(self, stream: Stream, block: bytes, *, end: bool) -> None:
        """Sends *block*; nothing of the stream may wait in its outbox. *end*: nothing follows on the stream."""
        self.moved = True
        self.queued_heads += len(block)
        flags = END_STREAM if end else 0
        if len(block) <= self.max_frame:
            self._parts.append(HEADER.pack(len(block) << 8 | HEADERS, flags | END_HEADERS, stream.id) + block)
        else:
            self._split_headers(stream, block, flags)
        if end:
            stream.local_closed = True
            self._ended(stream)

    def _split_headers(self, stream: Stream, block: bytes, flags: int) -> None:
        kind = HEADERS
        for start in range(0, len(block), self.max_frame):
            part = block[start : start + self.max_frame]
            last = END_HEADERS if start + self.max_frame >= len(block) else 0
            self._parts.append(HEADER.pack(len(part) << 8 | kind, flags | last, stream.id) + part)
            kind, flags = CONTINUATION, 0

    def data(self, stream: Stream, pieces: Sequence[Piece], size: int, *, end: bool = False) -> None:
        """Sends *pieces*, *size* bytes together, as the windows allow; the rest waits in the outbox."""
        self.moved = True
        if not stream.outbox and (not size or self._has_room(stream, size)):
            self.window -= size
            stream.send_window -= size
            self._parts.append(HEADER.pack(size << 8 | DATA, END_STREAM if end else 0, stream.id))
            self._parts += pieces
            if end:
                stream.local_closed = True
                self._ended(stream)
            return
        if stream.outbox is None:
            stream.outbox = []
        stream.outbox += [piece for piece in pieces if piece]
        stream.outbox_size += size
        stream.outbox_end = end
        self._ready[stream.id] = stream

    def _has_room(self, stream: Stream, size: int) -> bool:
        return not self.paused and size <= self.max_frame and size <= self.window and size <= stream.send_window

    def finish(self, stream: Stream, block: bytes) -> None:
        """Ends the stream with the trailers *block*, after what its outbox holds."""
        if stream.outbox:
            stream.trailers = block
            self._ready[stream.id] = stream
        else:
            self.headers(stream, block, end=True)

    def discard(self, stream: Stream) -> None:
        """Forgets what the stream wanted to send: it is reset."""
        stream.outbox = None
        stream.outbox_size = 0
        stream.outbox_end = False
        stream.trailers = None
        stream.local_closed = True
        self._ready.pop(stream.id, None)

    def open_window(self, increment: int) -> None:
        """The peer takes *increment* more bytes on the connection."""
        self.window += increment
        if self.window > LARGEST_WINDOW:
            raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "window of the connection overflows")

    def open_stream_window(self, stream: Stream, increment: int) -> bool:
        """The peer takes *increment* more bytes on the stream; False when its window overflows."""
        stream.send_window += increment
        if stream.outbox and stream.send_window > 0:
            self._ready[stream.id] = stream
        return stream.send_window <= LARGEST_WINDOW

    def take(self) -> list[Piece]:
        """The pieces that are to go out now, in order. Call until there are none, or the transport has enough."""
        if self._ready and not self.paused:
            self._pump()
        if not self.paused:
            self.queued = self.queued_heads = 0
        parts = self._parts
        if parts:
            self._parts = []
        return parts

    def _pump(self) -> None:
        quota = _QUOTA
        while self._ready and quota > 0 and self.window > 0:
            for number, stream in tuple(self._ready.items()):
                del self._ready[number]
                quota -= self._send_turn(stream, min(quota, _TURN))
                # Behind those that wait for their turn, or out until its window opens.
                if stream.outbox and stream.send_window > 0:
                    self._ready[number] = stream
                if quota <= 0 or self.window <= 0:
                    break

    def _send_turn(self, stream: Stream, quota: int) -> int:
        outbox = stream.outbox
        if outbox is None:
            return 0
        before = stream.outbox_size
        left = min(quota, before, self.window, stream.send_window)
        total = max(left, 0)
        while left > 0:
            size = min(left, self.max_frame)
            left -= size
            self._send_frame(stream, outbox, size)
        self.window -= total
        stream.send_window -= total
        if not outbox:
            self._outbox_empty(stream)
        if before > LOW_WATER >= stream.outbox_size:
            self._drained(stream)
        return total

    def _outbox_empty(self, stream: Stream) -> None:
        stream.outbox = None
        if stream.trailers is not None:
            trailers, stream.trailers = stream.trailers, None
            self.headers(stream, trailers, end=True)
        elif stream.outbox_end:
            stream.local_closed = True
            self._ended(stream)

    def _send_frame(self, stream: Stream, outbox: list[Piece], size: int) -> None:
        stream.outbox_size -= size
        flags = END_STREAM if stream.outbox_end and not stream.outbox_size else 0
        parts = self._parts
        parts.append(HEADER.pack(size << 8 | DATA, flags, stream.id))
        while size:
            piece = outbox[0]
            if len(piece) <= size:
                parts.append(piece)
                size -= len(piece)
                del outbox[0]
            else:
                view = memoryview(piece)
                parts.append(view[:size])
                outbox[0] = view[size:]
                size = 0
