"""The serving end of a connection: calls in, answers of the table of services out."""

from __future__ import annotations

from typing import Final

from pycontainerd.rpc.driver import Driver, Timer, Transport
from pycontainerd.rpc.grpc.endpoint import Endpoint
from pycontainerd.rpc.grpc.messages import MESSAGE_LIMIT
from pycontainerd.rpc.grpc.requests import RequestHead, parse_head
from pycontainerd.rpc.grpc.server_call import ServerCall
from pycontainerd.rpc.http2.events import DataReceived, Event, HeadersReceived, StreamReset
from pycontainerd.rpc.http2.limits import Limits
from pycontainerd.rpc.http2.stream import Stream
from pycontainerd.rpc.service import ServiceTable

HANDSHAKE_S: Final = 120.0
"""A client that has begun no call by then, and has not spoken HTTP/2 either, is cut off."""

_DRAINING: Final = b"draining"


class GrpcConnection(Endpoint):
    """One client of ours, whom *table* answers.

    Each call is a coroutine of the driver's, begun in place: one that need not wait is answered before `received`
    returns. A reset of the stream, its deadline and the end of the connection cancel the coroutine.
    """

    def __init__(
        self,
        table: ServiceTable,
        driver: Driver,
        *,
        limits: Limits | None = None,
        message_limit: int = MESSAGE_LIMIT,
        send_limit: int = MESSAGE_LIMIT,
        keepalive_s: float | None = None,
    ) -> None:
        super().__init__(
            driver,
            client=False,
            limits=limits,
            message_limit=message_limit,
            send_limit=send_limit,
            keepalive_s=keepalive_s,
        )
        self._table = table
        self._handshake: Timer | None = None
        self._draining = False

    def connected(self, transport: Transport) -> None:
        super().connected(transport)
        self._handshake = self.driver.call_later(HANDSHAKE_S, transport.abort)

    def lost(self, error: BaseException | None) -> None:
        if self._handshake is not None:
            self._handshake.cancel()
        super().lost(error)

    def shutdown(self) -> None:
        """Takes no new calls, lets the running ones end, then closes.

        Calls that the client began before it heard of it are still answered: it is told first, and asked for a
        ping, and what comes after its answer is refused.
        """
        if not self._draining:
            self._draining = True
            self.core.go_away(final=False)
            self.core.ping(_DRAINING)
            self.flush()

    def ping_answered(self, payload: bytes) -> None:
        if payload == _DRAINING:
            self.core.go_away(final=True)
            self.call_ended()

    def call_ended(self) -> None:
        """Closes the connection after its last call if it is shutting down."""
        if self.core.leaving and not self.core.streams:
            self.flush()
            if self.transport is not None and not self._busy:
                self.transport.close()

    def handle(self, event: Event) -> None:
        if isinstance(event, HeadersReceived):
            self._begin(event)
        elif isinstance(event, DataReceived):
            if event.stream.owner is not None:
                event.stream.owner.data(event)
        elif isinstance(event, StreamReset):
            if event.stream.owner is not None:
                event.stream.owner.abandon()
        else:
            self._connection_event(event)

    def received(self, data: bytes) -> None:
        super().received(data)
        if self._draining:
            self.call_ended()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._draining:
            self.call_ended()

    def stream_lost(self, stream: Stream, error: BaseException | None) -> None:
        if stream.owner is not None:
            stream.owner.abandon()

    def _begin(self, event: HeadersReceived) -> None:
        stream, block = event.stream, event.block
        if stream.owner is not None:  # trailers of a client: the end of its messages
            stream.owner.requests_ended()
            return
        if self._handshake is not None:
            self._handshake.cancel()
            self._handshake = None
        head: RequestHead | None = block.parsed
        if head is None:
            head = block.parsed = parse_head(block.fields, self._table)
        if head.handler is None or head.refusal:
            self.core.send_headers(stream, head.refusal, end=True)
            return
        stream.owner = call = ServerCall(self, stream, head, head.handler)
        call.begin(ended=event.ended)
