"""What both ends of a gRPC connection share: the transport, the moments to write to it, and signs of life."""

from __future__ import annotations

from typing import Final

from pycontainerd.rpc.driver import Driver, Peer, Timer, Transport
from pycontainerd.rpc.grpc.messages import MESSAGE_LIMIT
from pycontainerd.rpc.http2.connection import Http2Connection
from pycontainerd.rpc.http2.events import ConnectionFailed, Event, PingAnswered
from pycontainerd.rpc.http2.limits import Limits
from pycontainerd.rpc.http2.stream import Stream

_ALIVE: Final = b"alive?  "
KEEPALIVE_ANSWER_S: Final = 20.0

_GATHER_FROM: Final = 64 * 1024
"""From this size on pieces are given to the transport as they are: joining them costs more than counting them."""


class Endpoint:
    """A `driver.Connection` that speaks HTTP/2. Subclasses handle its events.

    *message_limit* and *send_limit*: the bytes of the largest message that is taken and sent.

    *keepalive_s*: after so many seconds of silence the peer is asked for a sign of life, and the connection is cut
    off when none comes within 20 more; None never asks (the kernel tells of the end of a unix socket).
    """

    def __init__(
        self,
        driver: Driver,
        *,
        client: bool,
        limits: Limits | None = None,
        message_limit: int = MESSAGE_LIMIT,
        send_limit: int = MESSAGE_LIMIT,
        keepalive_s: float | None = None,
    ) -> None:
        self.driver = driver
        self.message_limit = message_limit
        self.send_limit = send_limit
        limits = limits or Limits()
        self.core = Http2Connection(client=client, limits=limits, clock=driver.now, drained=self._drained)
        self.transport: Transport | None = None
        self._unsent_heads = limits.unsent_heads
        self._busy = False
        self._braked = False
        self._keepalive_s = keepalive_s
        self._keepalive: Timer | None = None
        self._heard = True

    @property
    def peer(self) -> Peer | None:
        """The process at the other end, if the transport knows it."""
        return self.transport.peer if self.transport is not None else None

    def connected(self, transport: Transport) -> None:
        self.transport = transport
        self.flush()
        self._watch_life()

    def received(self, data: bytes) -> None:
        self._heard = True
        self._busy = True
        try:
            for event in self.core.receive(data):
                self.handle(event)
        finally:
            self._busy = False
        self.flush()

    def pause_writing(self) -> None:
        self.core.out.paused = True

    def resume_writing(self) -> None:
        self.core.out.paused = False
        if self._braked and self.transport is not None:
            self._braked = False
            self.transport.resume_reading()
        self.flush()

    def lost(self, error: BaseException | None) -> None:
        self.transport = None
        self.core.failed = True
        if self._keepalive is not None:
            self._keepalive.cancel()
        streams = list(self.core.streams.values())
        self.core.streams.clear()
        for stream in streams:
            self.stream_lost(stream, error)

    def flush(self) -> None:
        """Writes what is to be sent. While received data is handled it waits: all answers go out together."""
        transport = self.transport
        if self._busy or transport is None:
            return
        take = self.core.take
        while parts := take():
            if sum(map(len, parts)) > _GATHER_FROM:
                transport.writelines(parts)
            else:
                transport.write(b"".join(parts))
        if self.core.failed:
            transport.close()
        elif not self._braked and self.core.out.queued_heads > self._unsent_heads:
            # Who asks and does not read the answers is not asked what else he wants.
            self._braked = True
            transport.pause_reading()

    def handle(self, event: Event) -> None:
        """Does what *event* asks for."""
        raise TypeError(f"{type(self).__name__} handles no {event!r}")

    def stream_lost(self, stream: Stream, error: BaseException | None) -> None:
        """The connection is gone, and *stream* with it."""

    def _drained(self, stream: Stream) -> None:
        if stream.owner is not None:
            stream.owner.drained()

    def _connection_event(self, event: Event) -> None:
        """What concerns no stream and is the same for both ends."""
        if isinstance(event, ConnectionFailed):
            error = ConnectionError(event.message)
            streams = list(self.core.streams.values())
            self.core.streams.clear()
            for stream in streams:
                self.stream_lost(stream, error)
        elif isinstance(event, PingAnswered):
            self.ping_answered(event.payload)

    def ping_answered(self, payload: bytes) -> None:
        """The answer to `core.ping`."""

    def _watch_life(self) -> None:
        if self._keepalive_s is not None:
            self._keepalive = self.driver.call_later(self._keepalive_s, self._ask_for_life)

    def _ask_for_life(self) -> None:
        if self._heard or self._keepalive_s is None:
            self._heard = False
            self._watch_life()
            return
        self.core.ping(_ALIVE)
        self.flush()
        self._keepalive = self.driver.call_later(KEEPALIVE_ANSWER_S, self._cut_off_silent)

    def _cut_off_silent(self) -> None:
        if self._heard:
            self._watch_life()
        elif self.transport is not None:
            self.transport.abort()
