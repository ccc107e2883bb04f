"""Asking the spawner from the daemon: one connection for all, replies as they come."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import NamedTuple, Self

from msgspec import Struct

from pycontainerd.errors import Unavailable
from pycontainerd.spawner import starting
from pycontainerd.spawner.client import Child
from pycontainerd.spawner.messages import (
    SIZE_LIMIT,
    Ended,
    Refused,
    Reply,
    Request,
    Setting,
    Started,
    StartShim,
    StartWorker,
    decode_reply,
    encode,
)
from pycontainerd.system import pidfd as pidfds
from pycontainerd.system.socket import receive_with_fds, send_with_fds


def _set(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def readable(descriptor: int) -> None:
    """Returns when *descriptor* is readable: a pidfd has ended, a pipe has data."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _set, waiter)
    try:
        await waiter
    finally:
        loop.remove_reader(descriptor)


async def writable(descriptor: int) -> None:
    """Returns when something can be written to *descriptor*, or nobody reads it any more."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    loop.add_writer(descriptor, _set, waiter)
    try:
        await waiter
    finally:
        loop.remove_writer(descriptor)


class Worker(Struct, eq=False):
    """A running worker. Who started it leaves the block only when it has ended."""

    pid: int
    pidfd: int
    _status: asyncio.Future[int]

    async def wait(self) -> int:
        """Its exit status, 128 + signal. Raises Unavailable if the spawner that knew it was killed."""
        return await asyncio.shield(self._status)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            pidfds.send_signal(self.pidfd, signal.SIGKILL)


class Spawner:
    """The daemon's connection to the spawner, made when it is needed and again when the spawner was killed."""

    def __init__(
        self, socket_dir: str, *, roles: str = starting.DEFAULT_ROLES, idle_s: float = starting.IDLE_S
    ) -> None:
        self._socket_dir = socket_dir
        self._roles = roles
        self._idle_s = idle_s
        self._connecting = asyncio.Lock()
        self._connection: _Connection | None = None

    async def start_shim(self, setting: Setting, request: bytes, fds: Sequence[int]) -> Child:
        """Starts a shim, whose parent will be init; the caller owns its pidfd. Raises Unavailable, OSError."""
        return (await self._start(StartShim(setting, request), fds)).child

    @asynccontextmanager
    async def worker(self, role: str, setting: Setting, request: bytes, fds: Sequence[int]) -> AsyncIterator[Worker]:
        """Starts a worker. Leaving the block kills one that still runs and waits for its end."""
        started = await self._start(StartWorker(role, setting, request), fds)
        worker = Worker(started.child.pid, started.child.pidfd, started.status)
        try:
            yield worker
        finally:
            worker.kill()
            await asyncio.shield(_gone(worker))

    async def connect(self) -> None:
        """Connects now, so that the first request finds a warm spawner."""
        await self._connected()

    async def lost(self) -> None:
        """Connects, and returns when that connection has ended: the spawner was killed, or we have closed it."""
        connection = await self._connected()
        await connection.ended.wait()

    async def close(self) -> None:
        """Ends the connection; children go on."""
        if self._connection is not None:
            self._connection.close(Unavailable("the connection to the spawner was closed"))
            self._connection = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _start(self, message: Request, fds: Sequence[int]) -> _StartedChild:
        connection = await self._connected()
        try:
            return await connection.ask(message, fds)
        except ConnectionError:
            # It was killed, or ended as we came: a new one is asked. If the old one has started a shim before it could
            # answer, the second leaves, as a bundle has one.
            connection = await self._connected()
            try:
                return await connection.ask(message, fds)
            except ConnectionError as error:
                raise Unavailable("the spawner ends before it answers") from error

    async def _connected(self) -> _Connection:
        async with self._connecting:
            if self._connection is None or self._connection.closed:
                self._connection = _Connection(await self._opened())
            return self._connection

    async def _opened(self) -> socket.socket:
        opening = asyncio.get_running_loop().run_in_executor(None, self._open)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unwanted)
            raise

    def _open(self) -> socket.socket:
        path = starting.socket_path(self._socket_dir, self._roles)
        return starting.ensure(path, roles=self._roles, idle_s=self._idle_s)


def _close_unwanted(opened: asyncio.Future[socket.socket]) -> None:
    if not opened.cancelled() and opened.exception() is None:
        opened.result().close()


async def _gone(worker: Worker) -> None:
    """Waits until the process has ended, whoever reaps it, and forgets it."""
    try:
        await readable(worker.pidfd)
    finally:
        os.close(worker.pidfd)


class _StartedChild(NamedTuple):
    child: Child
    status: asyncio.Future[int]
    """Set for a worker when it has ended; for a shim never."""


class _Asked(NamedTuple):
    answer: asyncio.Future[_StartedChild]
    worker: bool


class _Connection:
    """One connection and who waits for what on it."""

    def __init__(self, connection: socket.socket) -> None:
        self.closed = False
        self.ended = asyncio.Event()
        self._socket = connection
        self._loop = asyncio.get_running_loop()
        self._asked: deque[_Asked] = deque()
        self._statuses: dict[int, asyncio.Future[int]] = {}
        self._sending = asyncio.Lock()
        self._room: asyncio.Future[None] | None = None
        connection.setblocking(False)
        self._loop.add_reader(connection, self._readable)

    async def ask(self, message: Request, fds: Sequence[int]) -> _StartedChild:
        """Sends a request; the child that it starts. Raises Unavailable, ConnectionError if the spawner is gone."""
        data = encode(message)
        answer: asyncio.Future[_StartedChild] = self._loop.create_future()
        async with self._sending:  # a loop wakes only one who waits for room
            await self._send(data, fds)
            self._asked.append(_Asked(answer, isinstance(message, StartWorker)))
        return await answer

    async def _send(self, data: bytes, fds: Sequence[int]) -> None:
        while True:
            try:
                send_with_fds(self._socket, data, fds)
            except BlockingIOError:
                await self._writable()
            except OSError as error:
                self.close(error)
                raise ConnectionResetError(str(error)) from error
            else:
                return

    async def _writable(self) -> None:
        """Returns when there is room, or when the connection was closed."""
        self._room = waiter = self._loop.create_future()
        self._loop.add_writer(self._socket, _set, waiter)
        try:
            await waiter
        finally:
            self._room = None
            if not self.closed:
                self._loop.remove_writer(self._socket)

    def close(self, error: Exception) -> None:
        """Forgets everything; who waits is told."""
        if self.closed:
            return
        self.closed = True
        self.ended.set()
        self._loop.remove_reader(self._socket)
        if self._room is not None:
            self._loop.remove_writer(self._socket)
            _set(self._room)
        self._socket.close()
        for answer, _ in self._asked:
            if not answer.done():
                answer.set_exception(ConnectionResetError("the spawner has gone away"))
        for status in self._statuses.values():
            if not status.done():
                status.set_exception(Unavailable("how the worker ended is not known: the spawner has gone away"))
                status.exception()  # not everyone asks
        self._asked.clear()
        self._statuses.clear()

    def _readable(self) -> None:
        while not self.closed:
            try:
                data, descriptors = receive_with_fds(self._socket, SIZE_LIMIT)
            except BlockingIOError:
                return
            except (OSError, ValueError) as error:
                self.close(error)
                return
            if not data:
                self.close(ConnectionResetError("the spawner has gone away"))
                return
            self._take(decode_reply(data), descriptors)

    def _take(self, reply: Reply, descriptors: list[int]) -> None:
        match reply:
            case Started(pid):
                answer, worker = self._asked.popleft()
                if answer.cancelled():
                    # Who asked has gone: a worker is of no use then, and a shim has nobody who knows it.
                    pidfds.send_signal(descriptors[0], signal.SIGKILL)
                    os.close(descriptors[0])
                else:
                    ended: asyncio.Future[int] = self._loop.create_future()
                    if worker:
                        self._statuses[pid] = ended
                    answer.set_result(_StartedChild(Child(pid, descriptors[0]), ended))
            case Refused(reason):
                answer, _ = self._asked.popleft()
                if not answer.cancelled():
                    answer.set_exception(Unavailable(f"the spawner could not start a process: {reason}"))
            case Ended(pid, status):
                known = self._statuses.pop(pid, None)
                if known is not None and not known.done():
                    known.set_result(status)
