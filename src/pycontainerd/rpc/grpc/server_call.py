"""One call that we answer."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError, Message

from pycontainerd.errors import Cancelled, DeadlineExceeded, Error, Internal, Unknown
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.driver import Task, Timer, Waiter
from pycontainerd.rpc.encoded import Encoded
from pycontainerd.rpc.grpc.inbox import Inbox
from pycontainerd.rpc.grpc.messages import framed, only_message
from pycontainerd.rpc.grpc.requests import RequestHead
from pycontainerd.rpc.grpc.trailers import OK, RESPONSE_BLOCK, trailers_block
from pycontainerd.rpc.http2.events import DataReceived
from pycontainerd.rpc.http2.outbound import LOW_WATER
from pycontainerd.rpc.http2.stream import Stream
from pycontainerd.rpc.service import Handler
from pycontainerd.rpc.status import Status, is_expected, to_status

if TYPE_CHECKING:
    from pycontainerd.rpc.grpc.server import GrpcConnection

log: Final = logging.getLogger(__name__)

_UNARY: Final = "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data"
_STREAM: Final = "grpc: failed to unmarshal the received message: proto: cannot parse invalid wire-format data"


class ServerCall:
    """A call from its first header to its status.

    The handler runs as a coroutine of the driver's. Whatever ends the call first (an answer, a reset, the deadline)
    decides; what the handler does afterwards is not sent.
    """

    __slots__ = (
        "_connection",
        "_handler",
        "_head",
        "_inbox",
        "_room",
        "_stream",
        "_task",
        "_timer",
        "context",
        "state",
    )

    def __init__(self, connection: GrpcConnection, stream: Stream, head: RequestHead, handler: Handler) -> None:
        self._connection = connection
        self._stream = stream
        self._head = head
        self._handler = handler
        self._inbox: Inbox | None = None
        self._room: Waiter[None] | None = None
        self._task: Task | None = None
        self._timer: Timer | None = None
        self.state = WAITING
        timeout_s = head.timeout_s
        deadline = None if timeout_s is None else connection.driver.now() + timeout_s
        self.context = Call(head.path, head.metadata, connection.peer, deadline)

    def begin(self, *, ended: bool) -> None:
        """Starts the handler if it takes its requests as they come; others start with their request."""
        if self._handler.method.client_streaming:
            self._inbox = inbox = Inbox(self._connection, self._stream, self._head.decompress)
            if ended:
                inbox.end(None)
            requests = _Requests(inbox, self._handler.method.request)
            self._run(self._answer(requests))
        elif ended:
            self.fail(Unknown("EOF"))
        if self._head.timeout_s is not None and self.state != ENDED:
            self._timer = self._connection.driver.call_later(self._head.timeout_s, self._expire)

    def data(self, event: DataReceived) -> None:
        """Requests, in whole or in part."""
        if self.state == ENDED:
            return
        inbox = self._inbox
        if inbox is None:
            if event.ended and len(event.pieces) == 1:
                message = only_message(event.pieces[0])
                if message is not None:
                    self._connection.core.consume(self._stream, event.size)
                    self._begin_with(message)
                    return
            self._inbox = inbox = Inbox(self._connection, self._stream, self._head.decompress)
            self._run(self._answer_one(inbox))
        try:
            inbox.feed(event)
        except Error as error:
            self.fail(error)

    def requests_ended(self) -> None:
        """The client ended its messages by trailers."""
        if self._inbox is not None:
            self._inbox.end(None)
        elif self.state == WAITING:
            self.fail(Unknown("EOF"))

    def drained(self) -> None:
        """The client has read on: there is room for more replies."""
        if self._room is not None:
            self._room.set(None)

    def abandon(self) -> None:
        """The client went away: the handler is cancelled."""
        if self.state != ENDED:
            self._end()
            self._cancel(Cancelled(""))

    def fail(self, error: BaseException) -> None:
        """Ends the call with *error*; the handler, if it still runs, is cancelled."""
        if self.state == ENDED:
            return
        if not is_expected(error):
            log.error("%s failed", self._head.path, exc_info=error)
        self._finish(to_status(error))
        self._cancel(error)

    def _begin_with(self, message: bytes) -> None:
        try:
            request = self._handler.method.request.FromString(message)
        except DecodeError:
            self.fail(Internal(_STREAM if self._handler.method.server_streaming else _UNARY, bare=True))
        else:
            self._run(self._answer(request))

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.state = RUNNING
        task = self._connection.driver.spawn(coroutine, name=self._head.path)
        if self.state != ENDED:
            self._task = task

    async def _answer_one(self, inbox: Inbox) -> None:
        """Waits for the one request of a call, which came in several pieces."""
        try:
            message = await inbox.next()
            if message is None:
                raise Unknown("EOF") if not inbox.cut_off else Internal("unexpected EOF", bare=True)
            request = self._handler.method.request.FromString(message)
        except DecodeError:
            self.fail(Internal(_STREAM if self._handler.method.server_streaming else _UNARY, bare=True))
        except Error as error:
            self.fail(error)
        else:
            await self._answer(request)

    async def _answer(self, request: Message | _Requests) -> None:
        """Runs the handler and sends what it answers."""
        try:
            if self._handler.method.server_streaming:
                await self._send_all(self._handler.function(request, self.context))
            else:
                self._send_only(await self._handler.function(request, self.context))
        except Exception as error:  # noqa: BLE001 - the one door by which errors leave
            self._task = None  # it is what runs here, and ends by itself
            self.fail(error)
        except self._connection.driver.cancelled:
            # Not by us, or the call would have ended before: the handler cancelled itself.
            self.fail(Cancelled(""))
            raise

    def _send_only(self, reply: Message | Encoded | bytes) -> None:
        if self.state == ENDED:
            return
        pieces, size = framed(reply, self._connection.send_limit)
        core = self._connection.core
        core.send_headers(self._stream, RESPONSE_BLOCK)
        core.send_data(self._stream, pieces, size)
        self.state = ANSWERING
        self._finish(OK)

    async def _send_all(self, replies: AsyncIterator[Message | bytes]) -> None:
        try:
            async for reply in replies:
                await self._send(reply)
        finally:
            close = getattr(replies, "aclose", None)
            if close is not None:
                await close()
        self._finish(OK)

    async def _send(self, reply: Message | Encoded | bytes) -> None:
        if self.state == ENDED:
            return
        connection = self._connection
        pieces, size = framed(reply, connection.send_limit)
        if self.state != ANSWERING:
            self.state = ANSWERING
            connection.core.send_headers(self._stream, RESPONSE_BLOCK)
        connection.core.send_data(self._stream, pieces, size)
        connection.flush()
        while self._stream.outbox_size > LOW_WATER:
            self._room = connection.driver.waiter()
            try:
                await self._room
            finally:
                self._room = None

    def _finish(self, status: Status) -> None:
        if self.state == ENDED:
            return
        answered = self.state == ANSWERING
        self._end()
        core = self._connection.core
        try:
            block = trailers_block(status, self.context.trailers, only=not answered)
        except Error as error:  # a handler's trailers that can't be sent
            block = trailers_block(to_status(error), only=not answered)
        if answered:
            core.send_trailers(self._stream, block)
        else:
            core.send_headers(self._stream, block, end=True)
        self._connection.flush()
        self._connection.call_ended()

    def _end(self) -> None:
        self.state = ENDED
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cancel(self, error: BaseException) -> None:
        if self._inbox is not None:
            self._inbox.end(error)
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def _expire(self) -> None:
        self.fail(DeadlineExceeded(""))


# Where a call stands. Plain numbers: a call passes through all of them.
WAITING: Final = 0
RUNNING: Final = 1
ANSWERING: Final = 2
ENDED: Final = 3


class _Requests:
    """The requests of a client as a handler reads them."""

    __slots__ = ("_inbox", "_kind")

    def __init__(self, inbox: Inbox, kind: type[Message]) -> None:
        self._inbox = inbox
        self._kind = kind

    def __aiter__(self) -> _Requests:
        return self

    async def __anext__(self) -> Message:
        message = await self._inbox.next()
        if message is None:
            if self._inbox.cut_off:
                raise Internal("unexpected EOF", bare=True)
            raise StopAsyncIteration
        try:
            return self._kind.FromString(message)
        except DecodeError:
            raise Internal(_STREAM, bare=True) from None
