"""A scheduler of coroutines over epoll: the shim's `rpc.driver.Driver`.

A coroutine awaits a `LoopWaiter`; whatever else there is (descriptors, timers, signals, locks) ends in one. One thread,
no allocation while idle. Descriptors must be forgotten (`forget`) before they are closed.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, TypeVar

from pycontainerd.shim.coroutines import Cancelled, Lock, LoopTask, LoopTimer, LoopWaiter

T = TypeVar("T")

EVENTS_AT_ONCE: Final = 64
REST_LIMIT_S: Final = 64.0


class _Interest:
    """Who wants to know of one descriptor, and what epoll was told."""

    __slots__ = ("mask", "read", "write")

    def __init__(self) -> None:
        self.mask = 0
        self.read: Callable[[], None] | None = None
        self.write: Callable[[], None] | None = None

    def wanted(self) -> int:
        return (select.EPOLLIN if self.read else 0) | (select.EPOLLOUT if self.write else 0)


class Loop:
    """The loop. `on_error(name, error)` is told of a task or callback that raised an error; the loop goes on.

    A descriptor's callback that raised is not called again: what it left undone would make it ready for ever.
    """

    cancelled: type[BaseException] = Cancelled

    def __init__(self, on_error: Callable[[str, BaseException], None]) -> None:
        self.on_error = on_error
        self.ready: deque[LoopTask] = deque()
        self.tasks: set[LoopTask] = set()
        self._epoll = select.epoll()
        self._interests: dict[int, _Interest] = {}
        self._changed: set[int] = set()
        self._timers: list[LoopTimer] = []
        self._cancelled_timers = 0
        self._signal_pipe: tuple[int, int] | None = None
        self._at_rest: Callable[[], object] | None = None
        self._rest_s = 0.0

    def report(self, name: str, error: BaseException) -> None:
        """Tells of a defect; what goes wrong in the telling is let go."""
        with contextlib.suppress(Exception):
            self.on_error(name, error)

    def now(self) -> float:
        return time.monotonic()

    def waiter(self) -> LoopWaiter:
        return LoopWaiter(self)

    def lock(self) -> Lock:
        return Lock(self)

    def spawn(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> LoopTask:
        task = LoopTask(self, coroutine, name)
        self.tasks.add(task)
        return task

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> LoopTimer:
        timer = LoopTimer(self, self.now() + delay_s, callback)
        heapq.heappush(self._timers, timer)
        return timer

    async def sleep(self, delay_s: float) -> None:
        waiter = self.waiter()
        timer = self.call_later(delay_s, lambda: waiter.set(None))
        try:
            await waiter
        finally:
            timer.cancel()

    async def first_within(self, waiter: LoopWaiter, limit_s: float) -> bool:
        """Waits for *waiter* at most *limit_s* seconds; whether it was set. Its error is not raised."""
        either = self.waiter()
        timer = self.call_later(limit_s, lambda: either.set(None))
        watch = self.spawn(self._copy(waiter, either), name="first within")
        try:
            await either
        finally:
            timer.cancel()
            watch.cancel()
        return waiter.done()

    async def _copy(self, source: LoopWaiter, target: LoopWaiter) -> None:
        with contextlib.suppress(Exception):
            await source
        target.set(None)

    def begin(self, coroutine: Coroutine[Any, Any, Any], *, name: str) -> tuple[LoopTask, LoopWaiter]:
        """Runs *coroutine* beside the caller; its task, and a waiter for what it returns or raises."""
        result = self.waiter()
        return self.spawn(_settle(coroutine, result), name=name), result

    async def shielded(self, coroutine: Coroutine[Any, Any, T], *, name: str) -> T:
        """The result of *coroutine*, which runs to its end even if the caller is cancelled meanwhile."""
        _, result = self.begin(coroutine, name=name)
        value: T = await result
        return value

    # --- descriptors

    def watch_read(self, fd: int, callback: Callable[[], None] | None) -> None:
        """Calls *callback* whenever *fd* can be read, until it is None. PermissionError for a plain file."""
        self._interest(fd).read = callback
        self._changed.add(fd)

    def watch_write(self, fd: int, callback: Callable[[], None] | None) -> None:
        """Calls *callback* whenever *fd* can be written, until it is None."""
        self._interest(fd).write = callback
        self._changed.add(fd)

    async def readable(self, fd: int) -> None:
        """Waits until *fd* can be read without waiting: at once for a plain file."""
        await self.any_readable(fd)

    async def any_readable(self, *fds: int) -> None:
        """Waits until one of *fds* can be read without waiting."""
        waiter = self.waiter()
        for fd in fds:
            self.watch_read(fd, lambda: waiter.set(None))
        try:
            await waiter
        finally:
            for fd in fds:
                self.watch_read(fd, None)

    async def writable(self, fd: int) -> None:
        """Waits until *fd* can be written without waiting: at once for a plain file."""
        waiter = self.waiter()
        self.watch_write(fd, lambda: waiter.set(None))
        try:
            await waiter
        finally:
            self.watch_write(fd, None)

    def forget(self, fd: int) -> None:
        """*fd* is about to be closed."""
        self._changed.discard(fd)
        interest = self._interests.pop(fd, None)
        if interest is not None and interest.mask:
            with contextlib.suppress(OSError):  # closed too early; epoll has forgotten it by itself then
                self._epoll.unregister(fd)

    def _interest(self, fd: int) -> _Interest:
        return self._interests.get(fd) or self._interests.setdefault(fd, _Interest())

    def _tell_epoll(self) -> None:
        changed, self._changed = self._changed, set()
        for fd in changed:
            interest = self._interests.get(fd)
            if interest is None:
                continue
            wanted = interest.wanted()
            if wanted != interest.mask:
                try:
                    self._register(fd, interest.mask, wanted)
                except OSError as error:
                    self._not_polled(fd, interest, error)
                    continue
                interest.mask = wanted
            if not wanted:
                del self._interests[fd]

    def _register(self, fd: int, mask: int, wanted: int) -> None:
        if not mask:
            self._epoll.register(fd, wanted)
        elif not wanted:
            self._epoll.unregister(fd)
        else:
            self._epoll.modify(fd, wanted)

    def _not_polled(self, fd: int, interest: _Interest, error: OSError) -> None:
        """A plain file, EPERM, is always ready. Else nothing will be heard of *fd*: who waits meets the error."""
        if isinstance(error, PermissionError):
            self._changed.add(fd)
        else:
            del self._interests[fd]
            self.report(f"descriptor {fd}", error)
        for callback in (interest.read, interest.write):
            if callback is not None:
                self._call(fd, callback)

    def _call(self, fd: int, callback: Callable[[], None]) -> None:
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - a defect of one must not end what all others live by
            self.report(f"descriptor {fd}", error)
            interest = self._interest(fd)
            self.watch_read(fd, None if interest.read is callback else interest.read)
            self.watch_write(fd, None if interest.write is callback else interest.write)

    # --- signals

    def watch_signals(self, numbers: Iterable[int], callback: Callable[[int], None]) -> None:
        """Calls *callback* in the loop for each signal of *numbers*. Children get the default actions on exec."""
        read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._signal_pipe = read, write
        for number in numbers:
            signal.signal(number, _nothing)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)

        def arrived() -> None:
            try:
                data = os.read(read, 256)
            except BlockingIOError:
                return
            for number in dict.fromkeys(data):
                try:
                    callback(number)
                except Exception as error:  # noqa: BLE001 - as in _call
                    self.report(f"signal {number}", error)

        self.watch_read(read, arrived)

    # --- running

    def at_rest(self, after_s: float, callback: Callable[[], object]) -> None:
        """Calls *callback* once nothing has happened for *after_s* seconds, and then no more until something happens.

        It takes twice as long the next time, at most REST_LIMIT_S: who is asked every few seconds is never at rest.
        """
        self._at_rest, self._rest_s = callback, after_s

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        """Runs until *main* has ended, then cancels what is left and waits for it."""
        task = self.spawn(main, name="main")
        while not task.ended.done():
            self._turn()
        while self.tasks:
            for other in list(self.tasks):
                other.cancel()
            self._turn()
        self._close()

    def _turn(self) -> None:
        self._tell_epoll()
        for fd, events in self._poll():
            self._dispatch(fd, events)
        self._run_timers()
        for _ in range(len(self.ready)):
            self.ready.popleft().step()

    def _poll(self) -> list[tuple[int, int]]:
        timeout: float = 0 if self.ready else -1
        while self._timers and self._timers[0].callback is None:
            heapq.heappop(self._timers)
            self._cancelled_timers -= 1
        if self._timers and not self.ready:
            timeout = max(0.0, self._timers[0].due - self.now())
        if timeout >= 0 or self._at_rest is None:
            return self._epoll.poll(timeout, EVENTS_AT_ONCE)
        return self._epoll.poll(self._rest_s, EVENTS_AT_ONCE) or self._rest(self._at_rest)

    def _rest(self, callback: Callable[[], object]) -> list[tuple[int, int]]:
        self._rest_s = min(2 * self._rest_s, REST_LIMIT_S)
        try:
            callback()
        except Exception as error:  # noqa: BLE001 - as in _call
            self.report("rest", error)
        return self._epoll.poll(-1, EVENTS_AT_ONCE)

    def _dispatch(self, fd: int, events: int) -> None:
        interest = self._interests.get(fd)
        if interest is None:
            return
        broken = events & (select.EPOLLERR | select.EPOLLHUP)
        if interest.read is not None and (broken or events & select.EPOLLIN):
            self._call(fd, interest.read)
        if interest.write is not None and (broken or events & select.EPOLLOUT) and self._interests.get(fd) is interest:
            self._call(fd, interest.write)  # unless the reader has closed it

    def _run_timers(self) -> None:
        while self._timers and self._timers[0].due <= self.now():
            callback = heapq.heappop(self._timers).callback
            if callback is None:
                self._cancelled_timers -= 1
            else:
                try:
                    callback()
                except Exception as error:  # noqa: BLE001 - as in _call
                    self.report("timer", error)

    def timer_cancelled(self) -> None:
        """Takes cancelled timers out once they are the most: a deadline a call must not pile up."""
        self._cancelled_timers += 1
        if self._cancelled_timers > 32 and self._cancelled_timers * 2 > len(self._timers):
            self._timers = [timer for timer in self._timers if timer.callback is not None]
            heapq.heapify(self._timers)
            self._cancelled_timers = 0

    def _close(self) -> None:
        if self._signal_pipe is not None:
            signal.set_wakeup_fd(-1)
            for fd in self._signal_pipe:
                self.forget(fd)
                os.close(fd)
        self._epoll.close()


async def _settle(coroutine: Coroutine[Any, Any, Any], result: LoopWaiter) -> None:
    try:
        value = await coroutine
    except BaseException as error:
        result.fail(error)
        if not isinstance(error, Exception):
            raise
    else:
        result.set(value)


def _nothing(number: int, frame: object) -> None:
    """A handler has to be there for the wake-up descriptor to be written."""
