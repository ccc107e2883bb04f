"""The driver of command lines and of the sync facade: one thread that blocks until its coroutine is done.

It runs one coroutine, those that it spawns, and the descriptors that they wait for, over poll(2), which takes
regular files as well: a command's stdin may be one. It imports no event loop.
"""

from __future__ import annotations

import errno
import heapq
import os
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from pycontainerd.errors import Unavailable
from pycontainerd.rpc.driver import Connection, Peer

T = TypeVar("T")

_PENDING: Final = object()
_READ: Final = select.POLLIN | select.POLLRDHUP
_WRITE: Final = select.POLLOUT
_BROKEN: Final = select.POLLERR | select.POLLHUP | select.POLLNVAL

HIGH_WATER: Final = 256 * 1024
"""Bytes that wait in a transport from which on the connection is asked to pause, and below a quarter of it to go on."""


_GATHERED: Final = 512
"""Pieces of one system call; the kernel takes 1024 (IOV_MAX)."""


class Cancelled(BaseException):
    """Raised inside a coroutine that is cancelled."""


class BlockingWaiter:
    """A result that one coroutine waits for."""

    __slots__ = ("_driver", "_error", "_value", "task")

    def __init__(self, driver: BlockingDriver) -> None:
        self._driver = driver
        self._value: Any = _PENDING
        self._error: BaseException | None = None
        self.task: BlockingTask | None = None

    def set(self, value: Any) -> None:
        if not self.done():
            self._value = value
            self._wake()

    def fail(self, error: BaseException) -> None:
        if not self.done():
            self._error = error
            self._wake()

    def done(self) -> bool:
        return self._value is not _PENDING or self._error is not None

    def __await__(self) -> Generator[BlockingWaiter, None, Any]:
        if not self.done():
            yield self
        if self._error is not None:
            raise self._error
        return self._value

    def _wake(self) -> None:
        task, self.task = self.task, None
        if task is not None:
            task.waiting = None
            self._driver.soon(task.step)


class BlockingTask:
    """A coroutine that a driver runs."""

    __slots__ = ("_cancelling", "_coroutine", "_driver", "error", "finished", "name", "result", "waiting")

    def __init__(self, driver: BlockingDriver, coroutine: Coroutine[Any, Any, Any], name: str) -> None:
        self._driver = driver
        self._coroutine = coroutine
        self._cancelling = False
        self.name = name
        self.waiting: BlockingWaiter | None = None
        self.finished = False
        self.result: Any = None
        self.error: BaseException | None = None

    def cancel(self) -> None:
        """Raises Cancelled inside the coroutine at its next step."""
        if self.finished or self._cancelling:
            return
        self._cancelling = True
        if self.waiting is not None:
            self.waiting.task = None
            self.waiting = None
            self._driver.soon(self.step)

    def step(self) -> None:
        """Runs the coroutine up to its next wait."""
        if self.finished:
            return
        try:
            if self._cancelling:
                self._cancelling = False
                waiter = self._coroutine.throw(Cancelled())
            else:
                waiter = self._coroutine.send(None)
        except StopIteration as stop:
            self.finished, self.result = True, stop.value
        except BaseException as error:  # noqa: BLE001 - handed to whoever runs the driver
            self.finished, self.error = True, error
            if not isinstance(error, Cancelled):
                self._driver.failed(self)
        else:
            self._wait(waiter)

    def _wait(self, waiter: BlockingWaiter) -> None:
        if self._cancelling or waiter.done():
            self._driver.soon(self.step)
        else:
            waiter.task = self
            self.waiting = waiter


class BlockingTimer:
    """A call that is due at *when* of the driver's clock."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None

    def __lt__(self, other: BlockingTimer) -> bool:
        return self.when < other.when


class BlockingDriver:
    """Runs coroutines by blocking the thread that asks; a context manager that closes its transports."""

    cancelled: type[BaseException] = Cancelled

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self._ready: deque[Callable[[], None]] = deque()
        self._timers: list[BlockingTimer] = []
        self._poll = select.poll()
        self._readers: dict[int, Callable[[], None]] = {}
        self._writers: dict[int, Callable[[], None]] = {}
        self._transports: set[BlockingTransport] = set()
        self._defect: BaseException | None = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs *coroutine* to its end and returns what it returns, or raises what it raises.

        What it spawned and did not wait for goes on with the next `run`. An interrupt (KeyboardInterrupt) cancels
        the coroutine, lets it clean up, and is raised; a second one breaks off that too.
        """
        main = BlockingTask(self, coroutine, "main")
        main.step()
        try:
            self._run_until_finished(main)
        except BaseException:
            main.cancel()
            self._run_until_finished(main)
            raise
        if main.error is not None:
            self._defect = None
            raise main.error
        result: T = main.result
        return result

    def waiter(self) -> BlockingWaiter:
        return BlockingWaiter(self)

    def spawn(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> BlockingTask:
        """Runs *coroutine* beside the caller; its first step is taken at once. An error in it ends `run`."""
        task = BlockingTask(self, coroutine, name)
        task.step()
        return task

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> BlockingTimer:
        timer = BlockingTimer(self.now() + delay_s, callback)
        heapq.heappush(self._timers, timer)
        return timer

    async def sleep(self, delay_s: float) -> None:
        """Waits for *delay_s* seconds while others run."""
        waiter = self.waiter()
        timer = self.call_later(delay_s, lambda: waiter.set(None))
        try:
            await waiter
        finally:
            timer.cancel()

    async def readable(self, descriptor: int) -> None:
        """Waits until reading *descriptor* would not block; one waits for a descriptor at a time."""
        await self._until(self._readers, descriptor)

    async def writable(self, descriptor: int) -> None:
        """Waits until writing to *descriptor* would not block; one waits for a descriptor at a time."""
        await self._until(self._writers, descriptor)

    async def connect_unix(
        self, path: str, connection: Connection, *, timeout_s: float | None = None
    ) -> BlockingTransport:
        """Connects *connection* to the unix socket *path*.

        Raises OSError when nobody answers there, Unavailable when the server takes no connection within *timeout_s*.
        """
        endpoint = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            await self._connect(endpoint, path, timeout_s)
        except BaseException:
            endpoint.close()
            raise
        return self.adopt(endpoint, connection)

    def adopt(self, endpoint: socket.socket, connection: Connection) -> BlockingTransport:
        """Ties *connection* to the connected socket *endpoint*, which the transport owns from now on."""
        endpoint.setblocking(False)
        transport = BlockingTransport(self, endpoint, connection)
        self._transports.add(transport)
        connection.connected(transport)
        return transport

    def soon(self, callback: Callable[[], None]) -> None:
        """Calls *callback* after what runs now."""
        self._ready.append(callback)

    def failed(self, task: BlockingTask) -> None:
        """Notes that *task* ended with an error that nobody waits for; `run` raises it."""
        self._defect = self._defect or task.error

    def watch(
        self, descriptor: int, *, read: Callable[[], None] | None = None, write: Callable[[], None] | None = None
    ) -> None:
        """Calls *read* or *write* whenever *descriptor* is ready for it, until told otherwise; None ends it."""
        _put(self._readers, descriptor, read)
        _put(self._writers, descriptor, write)
        self._register(descriptor)

    def forget(self, transport: BlockingTransport) -> None:
        """Stops caring for *transport*, which is closed."""
        self._transports.discard(transport)

    def close(self) -> None:
        """Cuts off every transport."""
        for transport in tuple(self._transports):
            transport.abort()
        self.run_ready()

    def run_ready(self) -> None:
        """Runs what can run without waiting."""
        while self._ready:
            self._ready.popleft()()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run_until_finished(self, main: BlockingTask) -> None:
        ready = self._ready
        while not main.finished:
            if ready:
                ready.popleft()()
            else:
                self._block()
            if self._defect is not None and not main.finished:
                defect, self._defect = self._defect, None
                raise defect

    def _block(self) -> None:
        timeout_ms = self._due_in_ms()
        if timeout_ms is None and not self._readers and not self._writers:
            raise RuntimeError("the coroutine waits for what can never happen")
        for descriptor, happened in self._poll.poll(timeout_ms):
            reader, writer = self._readers.get(descriptor), self._writers.get(descriptor)
            if reader is not None and happened & (_READ | _BROKEN):
                reader()
            if writer is not None and happened & (_WRITE | _BROKEN):
                writer()
        self._fire_timers()

    def _due_in_ms(self) -> float | None:
        timers = self._timers
        while timers and timers[0].callback is None:
            heapq.heappop(timers)
        if not timers:
            return None
        # Rounded up: waking before the time would spin until it has come.
        return max(0.0, (timers[0].when - self.now()) * 1000 + 1)

    def _fire_timers(self) -> None:
        timers = self._timers
        now = self.now() if timers else 0.0
        while timers and timers[0].when <= now:
            callback = heapq.heappop(timers).callback
            if callback is not None:
                callback()

    async def _connect(self, endpoint: socket.socket, path: str, timeout_s: float | None) -> None:
        endpoint.setblocking(False)
        until = None if timeout_s is None else self.now() + timeout_s
        while (code := endpoint.connect_ex(path)) == errno.EAGAIN:  # its backlog is full
            if until is not None and self.now() >= until:
                raise Unavailable(f"{path}: the server takes no more connections")
            await self.sleep(0.01)
        if code:
            raise OSError(code, os.strerror(code), path)

    async def _until(self, table: dict[int, Callable[[], None]], descriptor: int) -> None:
        if descriptor in table:
            raise RuntimeError(f"descriptor {descriptor} is waited for already")
        waiter = self.waiter()
        table[descriptor] = lambda: waiter.set(None)
        self._register(descriptor)
        try:
            await waiter
        finally:
            table.pop(descriptor, None)
            self._register(descriptor)

    def _register(self, descriptor: int) -> None:
        mask = (_READ if descriptor in self._readers else 0) | (_WRITE if descriptor in self._writers else 0)
        if mask:
            self._poll.register(descriptor, mask)
            return
        with suppress(KeyError):
            self._poll.unregister(descriptor)


class BlockingTransport:
    """A connected socket that a driver polls."""

    __slots__ = ("_backlog", "_closing", "_connection", "_driver", "_endpoint", "_fd", "_paused", "_reading", "_size")

    def __init__(self, driver: BlockingDriver, endpoint: socket.socket, connection: Connection) -> None:
        self._driver = driver
        self._endpoint: socket.socket | None = endpoint
        self._fd = endpoint.fileno()
        self._connection = connection
        self._backlog: deque[memoryview] = deque()
        self._size = 0
        self._paused = False
        self._closing = False
        self._reading = True
        self._watch()

    @property
    def peer(self) -> Peer | None:
        if self._endpoint is None or self._endpoint.family != socket.AF_UNIX:
            return None
        return Peer(*struct.unpack("3i", self._endpoint.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Sends what the socket takes now and keeps the rest."""
        if self._endpoint is None or self._closing or not data:
            return
        rest = memoryview(data)
        if not self._backlog:
            rest = self._send(rest)
        if rest:
            self._backlog.append(rest)
            self._size += len(rest)
            self._watch()
            if self._size > HIGH_WATER and not self._paused:
                self._paused = True
                self._connection.pause_writing()

    def writelines(self, pieces: Sequence[bytes | bytearray | memoryview]) -> None:
        """As `write`, for several pieces at once."""
        for piece in self._gathered(pieces):
            self.write(piece)

    def close(self) -> None:
        self._closing = True
        if not self._backlog:
            self._end(None)
        else:
            self._watch()

    def abort(self) -> None:
        self._end(None)

    def pause_reading(self) -> None:
        self._reading = False
        self._watch()

    def resume_reading(self) -> None:
        self._reading = True
        self._watch()

    def _watch(self) -> None:
        if self._endpoint is not None:
            reading = self._reading and not self._closing
            self._driver.watch(
                self._fd, read=self._receive if reading else None, write=self._flush if self._backlog else None
            )

    def _send(self, data: memoryview) -> memoryview:
        if self._endpoint is None:
            return data[:0]
        try:
            return data[self._endpoint.send(data) :]
        except BlockingIOError:
            return data
        except OSError as error:
            self._end(error)
            return data[:0]

    def _gathered(self, pieces: Sequence[bytes | bytearray | memoryview]) -> Iterator[bytes | bytearray | memoryview]:
        """Sends what one system call takes of *pieces*; returns the rest of them."""
        if self._endpoint is None or self._closing or self._backlog:
            yield from pieces
            return
        try:
            sent = self._endpoint.sendmsg(pieces[:_GATHERED])
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._end(error)
            return
        for piece in pieces:
            if sent < len(piece):
                yield memoryview(piece)[sent:] if sent else piece
                sent = 0
            else:
                sent -= len(piece)

    def _flush(self) -> None:
        while self._backlog:
            data = self._backlog.popleft()
            rest = self._send(data)
            self._size -= len(data) - len(rest)
            if rest:
                self._backlog.appendleft(rest)
                break
        if not self._backlog:
            self._size = 0
            if self._closing:
                self._end(None)
                return
            self._watch()
        if self._paused and self._size < HIGH_WATER // 4:
            self._paused = False
            self._connection.resume_writing()

    def _receive(self) -> None:
        if self._endpoint is None:
            return
        try:
            data = self._endpoint.recv(HIGH_WATER)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        if data:
            self._connection.received(data)
        else:
            self._end(None)

    def _end(self, error: BaseException | None) -> None:
        endpoint, self._endpoint = self._endpoint, None
        if endpoint is None:
            return
        self._driver.watch(self._fd)
        self._driver.forget(self)
        endpoint.close()
        self._backlog.clear()
        self._driver.soon(lambda: self._connection.lost(error))


def _put(table: dict[int, Callable[[], None]], descriptor: int, callback: Callable[[], None] | None) -> None:
    if callback is None:
        table.pop(descriptor, None)
    else:
        table[descriptor] = callback
