"""One call that we make."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from google.protobuf.message import DecodeError, Message

from pycontainerd.errors import Cancelled, DeadlineExceeded, Error, Internal
from pycontainerd.rpc.call import Metadata
from pycontainerd.rpc.driver import Timer, Waiter
from pycontainerd.rpc.encoded import Encoded
from pycontainerd.rpc.grpc.inbox import Inbox
from pycontainerd.rpc.grpc.messages import Decompress, decompressor, framed
from pycontainerd.rpc.grpc.trailers import status_of_http, status_of_reset, status_of_trailers
from pycontainerd.rpc.http2.events import DataReceived, HeadersReceived
from pycontainerd.rpc.http2.frames import ErrorCode
from pycontainerd.rpc.http2.outbound import LOW_WATER
from pycontainerd.rpc.http2.stream import Stream
from pycontainerd.rpc.service import Method
from pycontainerd.rpc.status import from_status

if TYPE_CHECKING:
    from pycontainerd.rpc.grpc.client import GrpcClient

_NO_REPLY: Final = "cardinality violation: received no response message from non-server-streaming RPC"
_TWO_REPLIES: Final = (
    "cardinality violation: expected <EOF> for non server-streaming RPCs, but received another message"
)
_UNREADABLE: Final = "grpc: failed to unmarshal the received message: proto: cannot parse invalid wire-format data"


class ClientCall:
    """A call from its first header to its status."""

    __slots__ = ("_client", "_decompress", "_expires_at", "_inbox", "ended", "error", "method", "room_waiter", "stream")

    def __init__(self, client: GrpcClient, method: Method, timeout_s: float | None = None) -> None:
        self.method = method
        self._expires_at = None if timeout_s is None else client.driver.now() + timeout_s
        self.stream: Stream | None = None
        self.ended = False
        self.error: Error | None = None
        """How it ended, if not well."""
        self._client = client
        self._decompress: Decompress | None = None
        self._inbox: Inbox | None = None
        self.room_waiter: Waiter[None] | None = None

    def begun(self, stream: Stream) -> None:
        self.stream = stream
        self._inbox = Inbox(self._client, stream, None)

    async def next_reply(self) -> Any:
        """The next reply; None after the last one. Raises the error that the call ended with."""
        if self._inbox is None:
            raise self.error or Cancelled("")
        message = await self._inbox.next()
        if message is None:
            return None
        try:
            return self.method.response.FromString(message)
        except DecodeError:
            self.cancel()
            raise Internal(_UNREADABLE, bare=True) from None

    async def only_reply(self) -> Any:
        """The reply of a call that has one."""
        reply = await self.next_reply()
        if reply is None:
            raise Internal(_NO_REPLY, bare=True)
        if await self.next_reply() is not None:
            self.cancel()
            raise Internal(_TWO_REPLIES, bare=True)
        return reply

    async def room(self) -> None:
        """Waits while the server takes no more of what we send. Raises when the call has ended."""
        while self.stream is not None and self.stream.outbox_size > LOW_WATER and not self.ended:
            self.room_waiter = self._client.driver.waiter()
            try:
                await self.room_waiter
            finally:
                self.room_waiter = None

    def headers(self, event: HeadersReceived) -> None:
        """The head of the answer, or its trailers."""
        fields = event.block.fields
        if event.ended:
            self._ended_by(fields)
            return
        known = dict(fields)
        http_status = known.get(b":status", b"")
        if http_status != b"200" or not known.get(b"content-type", b"").startswith(b"application/grpc"):
            status = status_of_http(http_status)
            self._give_up(from_status(status.code, status.message))
            return
        try:
            self._decompress = decompressor(known.get(b"grpc-encoding", b"identity"))
        except Error as error:
            self._give_up(Internal(str(error), bare=True))
        else:
            if self._decompress is not None and self._inbox is not None:
                self._inbox.use(self._decompress)

    def data(self, event: DataReceived) -> None:
        """Replies, in whole or in part."""
        if self._inbox is None or self.ended:
            return
        ended, event.ended = event.ended, False
        try:
            self._inbox.feed(event)
        except Error as error:
            self._give_up(error)
            return
        if ended:
            self.fail(Internal("server closed the stream without sending trailers", bare=True))

    def was_reset(self, code: int) -> None:
        """The server reset the stream."""
        if code == ErrorCode.CANCEL and self._expires_at is not None and self._client.driver.now() >= self._expires_at:
            # It saw the deadline a moment before our own timer did.
            self.fail(DeadlineExceeded(""))
            return
        status = status_of_reset(code)
        self.fail(from_status(status.code, status.message))

    def drained(self) -> None:
        """The server has read on."""
        if self.room_waiter is not None:
            self.room_waiter.set(None)

    def expire(self) -> None:
        """The time of the call is over."""
        self._give_up(DeadlineExceeded(""))

    def cancel(self) -> None:
        """Nobody wants the answer any more."""
        self._give_up(Cancelled(""))

    def fail(self, error: Error | None) -> None:
        """The call is over: well, or with *error*."""
        if self.ended:
            return
        self.ended = True
        self.error = error
        if self._inbox is not None:
            self._inbox.end(error)
        if self.room_waiter is not None:
            self.room_waiter.set(None)
        stream = self.stream
        if stream is not None and not stream.local_closed:
            self._client.core.reset(stream, ErrorCode.CANCEL)
            self._client.flush()
        self._client.stream_ended()
        self._client.close_if_unused()

    def _ended_by(self, fields: tuple[tuple[bytes, bytes], ...]) -> None:
        try:
            status = status_of_trailers(fields)
        except Error as error:
            self.fail(error)
            return
        if status.code:
            self.fail(from_status(status.code, status.message, status.details))
        elif self._inbox is not None and self._inbox.cut_off:
            self.fail(Internal("unexpected EOF", bare=True))
        else:
            self.fail(None)

    def _give_up(self, error: Error) -> None:
        if self.ended:
            return
        if self.stream is not None:
            self._client.core.reset(self.stream, ErrorCode.CANCEL)
        self.fail(error)
        self._client.flush()


class GrpcClientStream:
    """A streaming call; see `rpc.client.ClientStream`. It begins with the first thing that is sent or received."""

    __slots__ = ("_beginning", "_call", "_client", "_closed", "_metadata", "_timeout_s", "_timer", "_waiting")

    def __init__(self, client: GrpcClient, method: Method, metadata: Metadata, timeout_s: float | None) -> None:
        self._client = client
        self._call = ClientCall(client, method, timeout_s)
        self._metadata = metadata
        self._timeout_s = timeout_s
        self._timer: Timer | None = None
        self._waiting: list[Waiter[None]] = []
        """Those who wait until the call has begun by another of its users."""
        self._beginning = False
        self._closed = False

    async def send(self, message: Message | Encoded) -> None:
        pieces, size = framed(message, self._client.send_limit)
        stream = await self._begin()
        self._client.core.send_data(stream, pieces, size)
        self._client.flush()
        await self._call.room()

    async def close_send(self) -> None:
        if not self._closed:
            stream = await self._begin()
            self._closed = True
            self._client.core.send_data(stream, [], 0, end=True)
            self._client.flush()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._call.stream is None:
            await self._begin()
            self._client.flush()
        reply = await self._call.next_reply()
        if reply is None:
            raise StopAsyncIteration
        return reply

    def cancel(self) -> None:
        self._call.cancel()
        self._stop_timer()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    async def _begin(self) -> Stream:
        """The stream of the call, which the first who asks for it begins."""
        while True:
            if self._call.ended or self._closed:
                raise self._call.error or Cancelled("the call has ended")
            stream = self._call.stream
            if stream is not None:
                return stream
            if not self._beginning:
                return await self._begin_first()
            waiter: Waiter[None] = self._client.driver.waiter()
            self._waiting.append(waiter)
            try:
                await waiter
            finally:
                self._waiting.remove(waiter)

    async def _begin_first(self) -> Stream:
        self._beginning = True
        if self._timer is None and self._timeout_s is not None:
            self._timer = self._client.driver.call_later(self._timeout_s, self._call.expire)
        try:
            return await self._client.begin(self._call, self._metadata, self._timeout_s)
        finally:
            self._beginning = False
            for waiter in self._waiting:
                waiter.set(None)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
