"""The driver of the daemon: asyncio, whatever loop runs it.

A coroutine that is spawned takes its first step at once, inside the caller; most calls are done by then and never
become a task. (Python 3.12 has eager tasks for that, 3.11 has none.)
"""

from __future__ import annotations

import asyncio
import contextvars
import ssl
import struct
from asyncio import tasks as _tasks
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from socket import SO_PEERCRED, SOL_SOCKET, socket
from types import TracebackType
from typing import Any, Final, Protocol, Self, cast, runtime_checkable

from pycontainerd.rpc.driver import Connection, Peer, Task, Timer

_PENDING: Final = object()


class AsyncioWaiter:
    """A result; a future is made only for someone who comes before it."""

    __slots__ = ("_error", "_future", "_loop", "_value")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[Any] | None = None
        self._value: Any = _PENDING
        self._error: BaseException | None = None

    def set(self, value: Any) -> None:
        if self.done():
            return
        self._value = value
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def fail(self, error: BaseException) -> None:
        if self.done():
            return
        self._error = error
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def done(self) -> bool:
        return self._value is not _PENDING or self._error is not None

    def __await__(self) -> Generator[Any, None, Any]:
        if not self.done():
            self._future = self._loop.create_future()
            yield from self._future
        if self._error is not None:
            raise self._error
        return self._value


Certificate = Mapping[str, Any]
"""A certificate that was verified, as `ssl.SSLSocket.getpeercert` has it."""

Admission = Callable[[Certificate | None], bool]
"""Whether who has shown this certificate, or none, may connect."""


class AsyncioDriver:
    """A running asyncio loop as the protocols see it."""

    cancelled: type[BaseException] = asyncio.CancelledError

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop = loop or asyncio.get_running_loop()
        self.now: Callable[[], float] = self.loop.time
        self._running: set[asyncio.Task[None]] = set()

    def waiter(self) -> AsyncioWaiter:
        return AsyncioWaiter(self.loop)

    def spawn(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> Task:
        """Runs *coroutine* up to its first wait, and the rest of it, if there is one, as a task."""
        task = _begin(self.loop, coroutine, name)
        if task is None:
            return DONE
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        return self.loop.call_later(delay_s, callback)

    async def serve_unix(self, listener: socket, factory: Callable[[], Connection]) -> Server:
        """Serves the listening unix socket *listener*, a connection of *factory*'s for each client."""
        server = Server(factory, unix=True)
        server.listening = await self.loop.create_unix_server(server.link, sock=listener)
        return server

    async def serve_tcp(
        self,
        listener: socket,
        factory: Callable[[], Connection],
        *,
        tls: ssl.SSLContext | None = None,
        admits: Admission | None = None,
    ) -> Server:
        """Serves the listening TCP socket *listener*, with TLS when *tls* is given (offer `h2` by ALPN).

        Clients for whose certificate *admits* does not answer True are cut off before anything of them is read.
        """
        server = Server(factory, unix=False, admits=admits)
        server.listening = await self.loop.create_server(server.link, sock=listener, ssl=tls)
        return server

    async def connect_unix(self, path: str, connection: Connection) -> AsyncioTransport:
        """Connects *connection* to the unix socket *path*. OSError when nobody answers there."""
        link = _Link(connection, unix=True)
        await self.loop.create_unix_connection(lambda: link, path)
        return link.transport

    async def connect_tcp(
        self,
        host: str,
        port: int,
        connection: Connection,
        *,
        tls: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> AsyncioTransport:
        """Connects *connection* to *host* and *port*. OSError or ssl.SSLError when that fails."""
        link = _Link(connection, unix=False)
        await self.loop.create_connection(lambda: link, host, port, ssl=tls, server_hostname=server_hostname)
        return link.transport


class AsyncioTransport:
    """A transport of asyncio's as the protocols see it."""

    __slots__ = ("_peer", "_raw", "abort", "close", "pause_reading", "resume_reading", "write", "writelines")

    def __init__(self, raw: asyncio.Transport, *, unix: bool) -> None:
        self._raw = raw
        self._peer = _peer_of(raw) if unix else None
        self.write: Callable[[bytes | bytearray | memoryview], None] = raw.write
        self.writelines: Callable[[Sequence[bytes | bytearray | memoryview]], None] = raw.writelines
        self.close = raw.close
        self.abort = raw.abort
        self.pause_reading = raw.pause_reading
        self.resume_reading = raw.resume_reading

    @property
    def peer(self) -> Peer | None:
        return self._peer


@runtime_checkable
class Graceful(Protocol):
    """A connection that can end well: no new calls, the running ones finish, then it closes."""

    def shutdown(self) -> None: ...


class Server:
    """A listening socket that is served, and its connections. As a context manager it ends with `close`."""

    def __init__(self, factory: Callable[[], Connection], *, unix: bool, admits: Admission | None = None) -> None:
        self.admits = admits
        self.listening: asyncio.AbstractServer | None = None
        self._factory = factory
        self._unix = unix
        self._links: set[_Link] = set()
        self._closed = False
        self._all_lost = asyncio.Event()

    def link(self) -> asyncio.Protocol:
        """The protocol for one more client, as asyncio asks for it."""
        return _Link(self._factory(), unix=self._unix, server=self)

    @property
    def connections(self) -> list[Connection]:
        """The connections that are open now."""
        return [link.connection for link in self._links]

    async def shutdown(self, grace_s: float) -> None:
        """Takes no more clients, lets running calls finish for up to *grace_s* seconds, then closes."""
        self._stop_listening()
        for link in tuple(self._links):
            if isinstance(link.connection, Graceful):
                link.connection.shutdown()
            else:
                link.transport.close()
        try:
            async with asyncio.timeout(grace_s):
                await self._wait_lost()
        except TimeoutError:
            pass
        await self.close()

    async def close(self) -> None:
        """Takes no more clients and cuts off those that there are."""
        self._stop_listening()
        for link in tuple(self._links):
            link.transport.abort()
        await self._wait_lost()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def opened(self, link: _Link) -> None:
        self._links.add(link)
        if self._closed:  # it was being accepted as we stopped
            link.transport.abort()

    def lost(self, link: _Link) -> None:
        self._links.discard(link)
        if not self._links:
            self._all_lost.set()

    def _stop_listening(self) -> None:
        self._closed = True
        if self.listening is not None:
            self.listening.close()
            self.listening = None

    async def _wait_lost(self) -> None:
        if self._links:
            self._all_lost.clear()
            await self._all_lost.wait()


class _Link(asyncio.Protocol):
    """Ties a transport of asyncio's to a connection of ours."""

    def __init__(self, connection: Connection, *, unix: bool, server: Server | None = None) -> None:
        self.connection = connection
        self.transport: AsyncioTransport
        self._unix = unix
        self._server = server
        self._refused = False
        # Loops look these up on the instance: without a method of ours between, each chunk saves a call.
        self.data_received = connection.received  # type: ignore[method-assign]
        self.pause_writing = connection.pause_writing  # type: ignore[method-assign]
        self.resume_writing = connection.resume_writing  # type: ignore[method-assign]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        raw = cast("asyncio.Transport", transport)
        admits = self._server.admits if self._server is not None else None
        if admits is not None and not admits(raw.get_extra_info("peercert")):
            self._refused = True
            raw.abort()
            return
        self.transport = AsyncioTransport(raw, unix=self._unix)
        if self._server is not None:
            self._server.opened(self)
        self.connection.connected(self.transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._refused:
            return
        try:
            self.connection.lost(exc)
        finally:
            if self._server is not None:
                self._server.lost(self)


def _peer_of(raw: asyncio.Transport) -> Peer | None:
    endpoint = raw.get_extra_info("socket")
    if endpoint is None:
        return None
    return Peer(*struct.unpack("3i", endpoint.getsockopt(SOL_SOCKET, SO_PEERCRED, 12)))


class _Done:
    """What is left of a coroutine that needed one step only."""

    def cancel(self) -> None:
        """Does nothing: it has ended."""


DONE: Final = _Done()


class _Standin:
    """The current task while a coroutine takes its first step.

    `asyncio.timeout` and TaskGroup remember the task that they are entered in, and cancel it later: what they do to
    this one reaches the real task once there is one.
    """

    __slots__ = ("_name", "task")

    def __init__(self, name: str) -> None:
        self._name = name
        self.task: asyncio.Task[None] | None = None

    def cancel(self, msg: Any = None) -> bool:
        return self.task is not None and self.task.cancel(msg)

    def uncancel(self) -> int:
        return self.task.uncancel() if self.task is not None else 0

    def cancelling(self) -> int:
        return self.task.cancelling() if self.task is not None else 0

    def done(self) -> bool:
        return self.task is not None and self.task.done()

    def get_name(self) -> str:
        return self._name


def _begin(
    loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, None], name: str
) -> asyncio.Task[None] | None:
    standin: Any = _Standin(name)
    context = contextvars.copy_context()
    outer = _tasks.current_task(loop)
    if outer is not None:
        _tasks._leave_task(loop, outer)
    _tasks._enter_task(loop, standin)
    try:
        awaited = context.run(coroutine.send, None)
    except StopIteration:
        return None
    finally:
        _tasks._leave_task(loop, standin)
        if outer is not None:
            _tasks._enter_task(loop, outer)
    task = asyncio.Task(_Rest(coroutine, awaited), loop=loop, name=name, context=context)
    standin.task = task
    return task


class _Rest(Coroutine[Any, Any, None]):
    """A coroutine after its first step: what it waits for is handed to the task first."""

    __slots__ = ("_awaited", "_coroutine", "_handed")

    def __init__(self, coroutine: Coroutine[Any, Any, None], awaited: Any) -> None:
        self._coroutine = coroutine
        self._awaited = awaited
        self._handed = False

    def send(self, value: Any) -> Any:
        if self._handed:
            return self._coroutine.send(value)
        return self._hand()

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        if not self._handed:
            # Cancelled before the task's first step: as with any task, what it waits for is cancelled, not itself.
            awaited = self._hand()
            if awaited is not None and awaited.cancel():
                return awaited
        return self._coroutine.throw(kind if value is None else value)

    def close(self) -> None:
        self._coroutine.close()

    def __await__(self) -> Generator[Any, None, None]:
        return (yield from self._coroutine.__await__())

    def _hand(self) -> Any:
        awaited, self._awaited, self._handed = self._awaited, None, True
        return awaited
