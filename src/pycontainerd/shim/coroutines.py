"""What the coroutines of a shim are made of: tasks, what they wait for, timers, a lock. `loop` runs them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pycontainerd.shim.loop import Loop


class Cancelled(BaseException):
    """Raised in a coroutine whose task was cancelled; passes through `except Exception`."""


class LoopWaiter:
    """A result that coroutines wait for. Set once; setting it again does nothing."""

    __slots__ = ("_done", "_error", "_loop", "_tasks", "_value")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._tasks: list[LoopTask] = []

    def set(self, value: Any) -> None:
        if not self._done:
            self._done, self._value = True, value
            self._wake()

    def fail(self, error: BaseException) -> None:
        if not self._done:
            self._done, self._error = True, error
            self._wake()

    def done(self) -> bool:
        return self._done

    def __await__(self) -> Generator[LoopWaiter, None, Any]:
        if not self._done:
            yield self
        if self._error is not None:
            raise self._error
        return self._value

    def _wake(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.wake()

    def join(self, task: LoopTask) -> None:
        """*task* waits for this."""
        self._tasks.append(task)

    def leave(self, task: LoopTask) -> None:
        """*task* waits no longer."""
        if task in self._tasks:
            self._tasks.remove(task)


class LoopTask:
    """A coroutine that runs beside others."""

    __slots__ = ("_cancel", "_coroutine", "_loop", "_scheduled", "_waiting", "ended", "name")

    def __init__(self, loop: Loop, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        self._loop = loop
        self._coroutine = coroutine
        self._waiting: LoopWaiter | None = None
        self._scheduled = False
        self._cancel = False
        self.name = name
        self.ended = LoopWaiter(loop)
        self.wake()

    def cancel(self) -> None:
        """Raises `Cancelled` inside the coroutine at its next step."""
        if self.ended.done():
            return
        self._cancel = True
        if self._waiting is not None:
            self._waiting.leave(self)
            self.wake()

    def wake(self) -> None:
        """The next step is due."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.ready.append(self)

    def where(self) -> list[str]:
        """The lines at which the coroutine and those that it awaits stand, outermost first."""
        lines = []
        inner: Any = self._coroutine
        while (frame := getattr(inner, "cr_frame", None)) is not None:
            lines.append(f"{frame.f_code.co_qualname} {frame.f_code.co_filename}:{frame.f_lineno}")
            inner = inner.cr_await
        return lines

    def step(self) -> None:
        """Runs the coroutine until it waits again or ends."""
        self._scheduled = False
        self._waiting = None
        try:
            if self._cancel:
                self._cancel = False
                waiter = self._coroutine.throw(Cancelled())
            else:
                waiter = self._coroutine.send(None)
        except (StopIteration, Cancelled):
            self._end()
        except BaseException as error:  # noqa: BLE001 - a task has no caller: its owner's hook is told
            self._end()
            self._loop.report(self.name, error)
        else:
            self._wait(waiter)

    def _wait(self, waiter: LoopWaiter) -> None:
        if not isinstance(waiter, LoopWaiter):  # nothing would ever wake it
            self._coroutine.close()
            self._end()
            self._loop.report(self.name, TypeError(f"what it awaits isn't of this loop: {waiter!r}"))
            return
        if self._cancel or waiter.done():
            self.wake()
        else:
            self._waiting = waiter
            waiter.join(self)

    def _end(self) -> None:
        self._loop.tasks.discard(self)
        self.ended.set(None)


class LoopTimer:
    """A call that is due later."""

    __slots__ = ("_loop", "callback", "due")

    def __init__(self, loop: Loop, due: float, callback: Callable[[], None]) -> None:
        self._loop = loop
        self.due = due
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        if self.callback is not None:
            self.callback = None
            self._loop.timer_cancelled()

    def __lt__(self, other: LoopTimer) -> bool:
        return self.due < other.due


class Lock:
    """One coroutine at a time: `async with lock`. Those who wait come in order."""

    __slots__ = ("_held", "_loop", "_waiting")

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._held = False
        self._waiting: deque[LoopWaiter] = deque()

    async def __aenter__(self) -> None:
        if not self._held:
            self._held = True
            return
        waiter = LoopWaiter(self._loop)
        self._waiting.append(waiter)
        try:
            await waiter
        except Cancelled:
            if waiter.done():
                self._release()
            else:
                self._waiting.remove(waiter)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def _release(self) -> None:
        if self._waiting:
            self._waiting.popleft().set(None)
        else:
            self._held = False
