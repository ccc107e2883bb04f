"""The calling end of a connection."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from google.protobuf.message import Message

from pycontainerd.errors import Cancelled, Error, Unavailable
from pycontainerd.rpc.call import Metadata
from pycontainerd.rpc.driver import Driver, Waiter
from pycontainerd.rpc.encoded import Encoded
from pycontainerd.rpc.grpc.client_call import ClientCall, GrpcClientStream
from pycontainerd.rpc.grpc.endpoint import Endpoint
from pycontainerd.rpc.grpc.headers import CONTENT_TYPE, encode_timeout, from_metadata
from pycontainerd.rpc.grpc.messages import ENCODINGS, MESSAGE_LIMIT, framed
from pycontainerd.rpc.http2.compression import encode, encode_field
from pycontainerd.rpc.http2.events import (
    DataReceived,
    Event,
    GoAway,
    HeadersReceived,
    SettingsReceived,
    StreamReset,
)
from pycontainerd.rpc.http2.frames import ErrorCode
from pycontainerd.rpc.http2.limits import Limits
from pycontainerd.rpc.http2.stream import Stream
from pycontainerd.rpc.service import Method

_BLOCKS: Final = 256
USER_AGENT: Final = b"pycontainerd"


class GrpcClient(Endpoint):
    """One server of ours. It is a `rpc.client.Client`; connect it by the driver.

    *metadata* goes with every call, after the call's own.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        authority: str = "localhost",
        metadata: Metadata = (),
        limits: Limits | None = None,
        message_limit: int = MESSAGE_LIMIT,
        keepalive_s: float | None = None,
        secure: bool = False,
    ) -> None:
        super().__init__(
            driver,
            client=True,
            limits=limits,
            message_limit=message_limit,
            send_limit=message_limit,
            keepalive_s=keepalive_s,
        )
        self._authority = authority.encode()
        self._metadata = metadata
        self._scheme = b"https" if secure else b"http"
        self._blocks: dict[tuple[str, Metadata], bytes] = {}
        self._queue: deque[Waiter[None]] = deque()
        self._gone: Error | None = None

    async def unary(
        self, method: Method, request: Message | Encoded, *, metadata: Metadata = (), timeout_s: float | None = None
    ) -> Any:
        pieces, size = framed(request, self.send_limit)
        call = ClientCall(self, method, timeout_s)
        timer = self.driver.call_later(timeout_s, call.expire) if timeout_s is not None else None
        try:
            stream = await self.begin(call, metadata, timeout_s)
            self.core.send_data(stream, pieces, size, end=True)
            self.flush()
            return await call.only_reply()
        except self.driver.cancelled:
            call.cancel()
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def stream(self, method: Method, *, metadata: Metadata = (), timeout_s: float | None = None) -> GrpcClientStream:
        return GrpcClientStream(self, method, metadata, timeout_s)

    async def close(self) -> None:
        self._end(Cancelled("grpc: the client connection is closing", bare=True))
        if self.transport is not None:
            self.core.go_away(final=True)
            self.flush()
            self.transport.close()

    async def begin(self, call: ClientCall, metadata: Metadata, timeout_s: float | None) -> Stream:
        """Opens a stream for *call* and sends the head of its request. Waits while the server has calls enough."""
        block = self._block(call.method.path, metadata)
        if timeout_s is not None:
            block += encode_field(b"grpc-timeout", encode_timeout(timeout_s))
        if len(self.core.streams) >= self.core.peer_streams:
            await self._turn(call)
        if call.error is not None:
            raise call.error
        if self._gone is not None:
            raise self._gone
        stream = self.core.open()
        stream.owner = call
        call.begun(stream)
        self.core.send_headers(stream, block)
        return stream

    def stream_ended(self) -> None:
        """A call is over: others may begin."""
        for waiter in self._queue:
            if self._gone is None and len(self.core.streams) >= self.core.peer_streams:
                break
            waiter.set(None)

    async def _turn(self, call: ClientCall) -> None:
        """Waits, first come first served, until the server takes one more call, or *call* or the server is gone."""
        while len(self.core.streams) >= self.core.peer_streams and self._gone is None and call.error is None:
            call.room_waiter = waiter = self.driver.waiter()
            self._queue.append(waiter)
            try:
                await waiter
            finally:
                call.room_waiter = None
                self._queue.remove(waiter)

    def lost(self, error: BaseException | None) -> None:
        if self._gone is None:
            self._gone = _lost(error)
        super().lost(error)
        self.stream_ended()

    def handle(self, event: Event) -> None:
        if isinstance(event, HeadersReceived):
            event.stream.owner.headers(event)
        elif isinstance(event, DataReceived):
            event.stream.owner.data(event)
        elif isinstance(event, StreamReset):
            event.stream.owner.was_reset(event.code)
        elif isinstance(event, GoAway):
            self._server_leaves(event)
        elif isinstance(event, SettingsReceived):
            self.stream_ended()
        else:
            self._connection_event(event)

    def stream_lost(self, stream: Stream, error: BaseException | None) -> None:
        stream.owner.fail(self._gone or _lost(error))

    def _block(self, path: str, metadata: Metadata) -> bytes:
        key = (path, metadata)
        block = self._blocks.get(key)
        if block is None:
            if len(self._blocks) >= _BLOCKS:
                self._blocks.clear()
            block = self._blocks[key] = encode(
                (
                    (b":method", b"POST"),
                    (b":scheme", self._scheme),
                    (b":path", path.encode()),
                    (b":authority", self._authority),
                    (b"content-type", CONTENT_TYPE),
                    (b"te", b"trailers"),
                    (b"user-agent", USER_AGENT),
                    (b"grpc-accept-encoding", ENCODINGS),
                    *from_metadata((*metadata, *self._metadata)),
                )
            )
        return block

    def _server_leaves(self, event: GoAway) -> None:
        reason = f": {event.message}" if event.message else ""
        self._gone = Unavailable(f"the server takes no more calls on this connection{reason}")
        for stream in tuple(self.core.streams.values()):
            if stream.id > event.last_stream:
                stream.owner.fail(self._gone)
                self.core.reset(stream, ErrorCode.NO_ERROR)
        self.stream_ended()
        self.close_if_unused()

    def close_if_unused(self) -> None:
        """Closes the connection when the server is leaving and the last call has ended."""
        if self._gone is not None and not self.core.streams and self.transport is not None:
            self.transport.close()

    def _end(self, error: Error) -> None:
        if self._gone is None:
            self._gone = error
        for stream in tuple(self.core.streams.values()):
            stream.owner.fail(error)
            self.core.reset(stream, ErrorCode.CANCEL)
        self.stream_ended()


def _lost(error: BaseException | None) -> Error:
    return Unavailable(f"error reading from server: {error or 'EOF'}", bare=True)
