"""The client's end of a ttrpc connection; see `rpc.client.Client`."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final, Self

from google.protobuf.message import DecodeError, Message

from pycontainerd.api import ttrpc_pb2
from pycontainerd.errors import Cancelled, DeadlineExceeded, Error, Internal
from pycontainerd.rpc.call import Metadata
from pycontainerd.rpc.driver import Driver, Timer, Waiter
from pycontainerd.rpc.service import Method
from pycontainerd.rpc.status import from_status
from pycontainerd.rpc.ttrpc.frames import (
    DATA,
    NO_DATA,
    REMOTE_CLOSED,
    REMOTE_OPEN,
    REQUEST,
    RESPONSE,
    Frame,
    Oversized,
    encode,
    too_large,
)
from pycontainerd.rpc.ttrpc.inbox import Inbox
from pycontainerd.rpc.ttrpc.link import ConnectionClosed, Link

_LAST_NUMBER: Final = 0xFFFFFFFF


class TtrpcClientConnection(Link):
    """Calls methods at the other end. A lost connection fails what is open with `ConnectionClosed`."""

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self._calls: dict[int, _Unary | TtrpcClientStream] = {}
        self._next = 1
        self._closers: list[Waiter[None]] = []

    async def unary(
        self, method: Method, request: Message, *, metadata: Metadata = (), timeout_s: float | None = None
    ) -> Any:
        """The reply to *request*. Raises the error that the server answered, DeadlineExceeded, ConnectionClosed."""
        call = _Unary(self.driver, method)
        number = self._begin(call, method, request.SerializeToString(), metadata=metadata, timeout_s=timeout_s, flags=0)
        timer = self._timer(call, timeout_s)
        try:
            return await call.waiter
        finally:
            self._calls.pop(number, None)
            if timer is not None:
                timer.cancel()

    def stream(self, method: Method, *, metadata: Metadata = (), timeout_s: float | None = None) -> TtrpcClientStream:
        """A call with messages one after the other in one direction or both."""
        return TtrpcClientStream(self, method, metadata, timeout_s)

    async def close(self) -> None:
        """Ends the connection; open calls fail with ConnectionClosed."""
        transport = self._transport
        self.lost(None)
        if transport is not None:
            transport.close()

    async def wait_closed(self) -> None:
        """Waits until the connection is lost or closed."""
        if not self.closed:
            waiter = self.driver.waiter()
            self._closers.append(waiter)
            await waiter

    def received(self, data: bytes) -> None:
        for frame in self._decoder.feed(data):
            call = self._calls.get(frame.stream)
            if call is None:
                continue  # its caller has stopped waiting
            if isinstance(frame, Oversized):
                self._calls.pop(frame.stream, None)
                call.fail(too_large(frame.length))
            elif call.take(frame):
                self._calls.pop(frame.stream, None)

    def lost(self, error: BaseException | None) -> None:
        self._end()
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.fail(ConnectionClosed())
        closers, self._closers = self._closers, []
        for waiter in closers:
            waiter.set(None)

    def _timer(self, call: _Unary | TtrpcClientStream, timeout_s: float | None) -> Timer | None:
        if timeout_s is None:
            return None
        return self.driver.call_later(timeout_s, lambda: call.fail(DeadlineExceeded("")))

    def _begin(
        self,
        call: _Unary | TtrpcClientStream,
        method: Method,
        payload: bytes,
        *,
        metadata: Metadata,
        timeout_s: float | None,
        flags: int,
    ) -> int:
        if self.closed or self._transport is None or self._next > _LAST_NUMBER:
            raise ConnectionClosed
        _, service, name = method.path.split("/")
        request = ttrpc_pb2.Request(service=service, method=name, payload=payload)
        if timeout_s is not None:
            request.timeout_nano = max(1, int(timeout_s * 1e9))
        for key, value in metadata:
            request.metadata.add(key=key, value=value if isinstance(value, str) else value.decode())
        frame = encode(self._next, REQUEST, flags, request.SerializeToString())
        number = self._next
        self._next += 2
        self._calls[number] = call
        self._write(frame)
        return number

    def _forget(self, number: int) -> None:
        self._calls.pop(number, None)

    def inbox_changed(self, change: int) -> None:
        self._inbox_changed(change)

    async def _send(self, number: int, payload: bytes) -> None:
        frame = encode(number, DATA, 0, payload)
        await self._writable()
        self._write(frame)

    def _send_end(self, number: int) -> None:
        self._write(encode(number, DATA, REMOTE_CLOSED | NO_DATA))


class _Unary:
    """A call that waits for its one reply."""

    __slots__ = ("_method", "waiter")

    def __init__(self, driver: Driver, method: Method) -> None:
        self.waiter: Waiter[Message] = driver.waiter()
        self._method = method

    def take(self, frame: Frame) -> bool:
        if frame.type != RESPONSE:
            return False
        try:
            self.waiter.set(_reply(self._method, frame.data))
        except Error as error:
            self.waiter.fail(error)
        return True

    def fail(self, error: BaseException) -> None:
        self.waiter.fail(error)


class TtrpcClientStream:
    """A streaming call: `async with connection.stream(method) as stream`. See `rpc.client.ClientStream`.

    A method whose client does not stream opens with its one request, which `send` gives; all others at once.
    """

    def __init__(
        self, connection: TtrpcClientConnection, method: Method, metadata: Metadata, timeout_s: float | None
    ) -> None:
        self._connection = connection
        self._method = method
        self._metadata = metadata
        self._timeout_s = timeout_s
        self._number = 0
        self._sending = True
        self._timer: Timer | None = None
        self._inbox: Inbox[Message] = Inbox(connection.driver, connection.inbox_changed)
        if method.client_streaming:
            self._open(b"", REMOTE_OPEN)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cancel()

    async def send(self, message: Message) -> None:
        """Sends one message. Raises Cancelled after the end of the call, ConnectionClosed without a connection."""
        payload = message.SerializeToString()
        if not self._number:
            self._open(payload, REMOTE_CLOSED)
            self._sending = False
            return
        if not self._sending:
            raise Cancelled(f"stream {self._method.path}: it takes no more messages")
        await self._connection._send(self._number, payload)

    async def close_send(self) -> None:
        """Says that no more messages come."""
        if self._number and self._sending:
            self._sending = False
            self._connection._send_end(self._number)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await anext(self._inbox)

    def cancel(self) -> None:
        """Stops caring: what still comes is dropped. ttrpc has no way to tell the server."""
        self._release()
        self._inbox.end(Cancelled(""))
        self._inbox.drop()

    def take(self, frame: Frame) -> bool:
        if frame.type == RESPONSE:
            return self._take_response(frame)
        if frame.type != DATA:
            return False
        if not frame.flags & NO_DATA:
            try:
                self._inbox.put(_parse(self._method, frame.data))
            except Error as error:
                self.fail(error)
                return True
        if frame.flags & REMOTE_CLOSED:
            self._release()
            self._inbox.end()
            return True
        return False

    def _take_response(self, frame: Frame) -> bool:
        try:
            message = _reply(self._method, frame.data)
        except Error as error:
            self.fail(error)
            return True
        if not self._method.server_streaming:
            self._inbox.put(message)
        self._release()
        self._inbox.end()
        return True

    def fail(self, error: BaseException) -> None:
        self._release()
        self._inbox.end(error)

    def _open(self, payload: bytes, flags: int) -> None:
        self._number = self._connection._begin(
            self, self._method, payload, metadata=self._metadata, timeout_s=self._timeout_s, flags=flags
        )
        self._timer = self._connection._timer(self, self._timeout_s)

    def _release(self) -> None:
        self._sending = False
        self._connection._forget(self._number)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _parse(method: Method, payload: bytes) -> Message:
    try:
        return method.response.FromString(payload)
    except DecodeError as error:
        raise Internal(f"reply of {method.path}: {error}", bare=True) from error


def _reply(method: Method, data: bytes) -> Message:
    """The message in a response. Raises the error that it carries."""
    try:
        response = ttrpc_pb2.Response.FromString(data)
    except DecodeError as error:
        raise Internal(f"response to {method.path}: {error}", bare=True) from error
    if response.HasField("status") and response.status.code:
        status = response.status
        details = tuple(detail.SerializeToString() for detail in status.details)
        raise from_status(status.code, status.message, details)
    return _parse(method, response.payload)
