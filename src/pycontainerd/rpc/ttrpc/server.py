"""The server's end of a ttrpc connection: requests in, the methods of a service table called, responses out."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message

from pycontainerd.api import ttrpc_pb2
from pycontainerd.errors import DeadlineExceeded, Error, Internal, InvalidArgument, ResourceExhausted, Unimplemented
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.driver import Driver, Peer, Task, Timer, Transport
from pycontainerd.rpc.service import Handler, Method, ServiceTable, encoded
from pycontainerd.rpc.status import is_expected, to_status
from pycontainerd.rpc.ttrpc.frames import (
    DATA,
    DATA_LIMIT,
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

OPEN_CALLS_LIMIT: Final = 4096
"""Calls of one client that are being answered at a time: some thousand waits, not a loop that has gone wild."""


class TtrpcServerConnection(Link):
    """Serves *table* to one client.

    With *same_owner* only a peer whose uid and gid equal ours is served, as on the daemon's and a shim's socket; see
    SO_PEERCRED in unix(7). *on_defect* is told of each method (its path) that ended by an error nobody meant to raise:
    the client only hears that it is unknown.
    """

    def __init__(
        self,
        table: ServiceTable,
        driver: Driver,
        *,
        same_owner: bool = True,
        on_defect: Callable[[str, BaseException], None] | None = None,
    ) -> None:
        super().__init__(driver)
        self._on_defect = on_defect
        self._table = table
        self._same_owner = same_owner
        self._streams: dict[int, _Stream] = {}
        self._newest = 0
        self.peer: Peer | None = None

    @property
    def open_calls(self) -> int:
        """The number of calls that are being answered."""
        return len(self._streams)

    def connected(self, transport: Transport) -> None:
        super().connected(transport)
        self.peer = transport.peer
        if self._same_owner and not _is_ours(self.peer):
            transport.abort()
            self._end()

    def received(self, data: bytes) -> None:
        for frame in self._decoder.feed(data):
            if self.closed:
                return
            if isinstance(frame, Oversized):
                self._refuse_oversized(frame)
            elif frame.type == REQUEST:
                self._open(frame)
            elif frame.type == DATA:
                self._data(frame)

    def pause_writing(self) -> None:
        """The client takes no replies: until it does, none of its requests is read."""
        super().pause_writing()
        self._inbox_changed(1)

    def resume_writing(self) -> None:
        if self._paused:
            self._inbox_changed(-1)
        super().resume_writing()

    def lost(self, error: BaseException | None) -> None:
        self._end()
        streams = list(self._streams.values())
        self._streams.clear()
        for stream in streams:
            stream.abandon()

    def _refuse_oversized(self, frame: Oversized) -> None:
        stream = self._streams.get(frame.stream)
        if stream is not None:
            stream.abandon()
        elif frame.type == REQUEST and frame.stream % 2 and frame.stream > self._newest:
            self._newest = frame.stream
        self.finish(frame.stream, error=too_large(frame.length))

    def _open(self, frame: Frame) -> None:
        number = frame.stream
        if number % 2 == 0:
            self._refuse(number, "StreamID must be odd for client initiated streams")
            return
        if number <= self._newest:
            self._refuse(number, "StreamID cannot be re-used and must increment")
            return
        self._newest = number
        if len(self._streams) >= OPEN_CALLS_LIMIT:
            self.finish(number, error=ResourceExhausted(f"more than {OPEN_CALLS_LIMIT} calls at a time", bare=True))
            return
        try:
            request = ttrpc_pb2.Request.FromString(frame.data)
        except DecodeError as error:
            self._refuse(number, f"unmarshal error: {error}")
            return
        path = f"/{request.service}/{request.method}"
        handler = self._table.find(path)
        if handler is None:
            self.finish(number, error=self._unknown(request.service, path))
            return
        timeout_s = request.timeout_nano / 1e9 if request.timeout_nano > 0 else None
        call = Call(
            path,
            tuple((pair.key, pair.value) for pair in request.metadata),
            self.peer,
            None if timeout_s is None else self.driver.now() + timeout_s,
        )
        stream = _Stream(self, number, handler)
        self._streams[number] = stream
        stream.begin(call, frame.flags, request.payload, timeout_s)

    def _unknown(self, service: str, path: str) -> Error:
        if self._table.has_service(service):
            return Unimplemented(f"method {path.rpartition('/')[2]} of service {service}", bare=True)
        return Unimplemented(f"service {service}", bare=True)

    def _data(self, frame: Frame) -> None:
        stream = self._streams.get(frame.stream)
        if stream is None or not stream.open:
            if stream is not None:
                stream.abandon()
            self._refuse(frame.stream, "data for a stream that is not open")
        elif frame.flags & REMOTE_CLOSED and frame.data:
            stream.abandon()
            self._refuse(frame.stream, "data close message cannot include data")
        else:
            stream.take(frame)

    def _refuse(self, number: int, why: str) -> None:
        self.finish(number, error=InvalidArgument(why, bare=True))

    def finish(self, number: int, *, payload: bytes = b"", error: BaseException | None = None) -> None:
        """Ends stream *number* with a response."""
        self._streams.pop(number, None)
        self._write(_response(number, payload, error))

    def failed(self, path: str, error: BaseException) -> None:
        """Tells of *error* that a method ended with, if it is a defect."""
        if self._on_defect is not None and not is_expected(error):
            self._on_defect(path, error)

    async def send(self, number: int, payload: bytes) -> None:
        """Sends one message of a streamed reply when the peer takes it."""
        frame = encode(number, DATA, 0, payload)
        await self._writable()
        self._write(frame)

    def end_of_stream(self, number: int) -> None:
        """Ends a streamed reply."""
        self._streams.pop(number, None)
        self._write(encode(number, DATA, REMOTE_CLOSED | NO_DATA))

    def inbox_changed(self, change: int) -> None:
        self._inbox_changed(change)


class _Stream:
    """One call on its way: its task, its deadline, and what the client still sends."""

    __slots__ = ("_connection", "_handler", "_inbox", "_number", "_task", "_timer", "open")

    def __init__(self, connection: TtrpcServerConnection, number: int, handler: Handler) -> None:
        self._connection = connection
        self._number = number
        self._handler = handler
        self._task: Task | None = None
        self._timer: Timer | None = None
        self._inbox: Inbox[Message] | None = None
        self.open = False
        """Whether the client may still send."""

    def begin(self, call: Call, flags: int, payload: bytes, timeout_s: float | None) -> None:
        method = self._handler.method
        try:
            argument: Any = self._argument(method, flags, payload)
        except DecodeError as error:
            text = f"{method.request.DESCRIPTOR.full_name} of {method.path}: {error}"
            self._connection.finish(self._number, error=Internal(text, bare=True))
            return
        run = self._stream_reply if method.server_streaming else self._single_reply
        driver = self._connection.driver
        if timeout_s is not None:
            self._timer = driver.call_later(timeout_s, self._expire)
        self._task = driver.spawn(run(argument, call), name=call.path)

    def _argument(self, method: Method, flags: int, payload: bytes) -> Message | AsyncIterator[Message]:
        if not method.client_streaming:
            return method.request.FromString(payload)
        self._inbox = Inbox(self._connection.driver, self._connection.inbox_changed)
        if payload:
            self._inbox.put(method.request.FromString(payload))
        self.open = bool(flags & REMOTE_OPEN)
        if not self.open:
            self._inbox.end()
        return self._inbox

    def take(self, frame: Frame) -> None:
        """A data frame from the client."""
        inbox = self._inbox
        if inbox is None:
            return
        if not frame.flags & NO_DATA:
            try:
                inbox.put(self._handler.method.request.FromString(frame.data))
            except DecodeError as error:
                inbox.end(Internal(f"message of {self._handler.method.path}: {error}", bare=True))
        if frame.flags & REMOTE_CLOSED:
            self.open = False
            inbox.end()

    async def _single_reply(self, argument: Any, call: Call) -> None:
        driver = self._connection.driver
        try:
            reply = encoded(await self._handler.function(argument, call))
        except driver.cancelled:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a method raises is the answer to its call
            self._done(error)
        else:
            self._done(None, reply)

    async def _stream_reply(self, argument: Any, call: Call) -> None:
        connection = self._connection
        replies = self._handler.function(argument, call)
        try:
            async for reply in replies:
                await connection.send(self._number, encoded(reply))
        except (connection.driver.cancelled, ConnectionClosed):
            self._release()
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a method raises is the answer to its call
            self._done(error)
        else:
            self._release()
            connection.end_of_stream(self._number)
        finally:
            await replies.aclose()

    def _done(self, error: BaseException | None, payload: bytes = b"") -> None:
        self._release()
        if error is not None:
            self._connection.failed(self._handler.method.path, error)
        self._connection.finish(self._number, payload=payload, error=error)

    def _expire(self) -> None:
        self.abandon()
        self._connection.finish(self._number, error=DeadlineExceeded(""))

    def abandon(self) -> None:
        """Stops the method; nothing of it is answered any more."""
        task = self._task
        self._release()
        if task is not None:
            task.cancel()

    def _release(self) -> None:
        self._task = None
        self.open = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._inbox is not None:
            self._inbox.drop()


def _is_ours(peer: Peer | None) -> bool:
    return peer is not None and peer.uid == os.geteuid() and peer.gid == os.getegid()


def _response(number: int, payload: bytes, error: BaseException | None) -> bytes:
    """The frame of a response. A reply over the limit becomes the error that says so."""
    response = ttrpc_pb2.Response(payload=payload) if error is None else _failure(error)
    data = response.SerializeToString()
    if len(data) > DATA_LIMIT:
        data = _failure(too_large(len(data))).SerializeToString()
    return encode(number, RESPONSE, 0, data)


def _failure(error: BaseException) -> ttrpc_pb2.Response:
    status = to_status(error)
    response = ttrpc_pb2.Response()
    response.status.code = int(status.code)
    response.status.message = status.message
    for detail in status.details:
        response.status.details.append(AnyMessage.FromString(detail))
    return response
