"""Threads for blocking work: system calls, hashing, what releases the interpreter's lock.

Each kind of work has its own pool, so that a slow disk doesn't hold up what needs no disk. Python that computes does
not belong here but in a worker process: it would hold the lock that the loop needs.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar, TypeVarTuple, Unpack, cast

T = TypeVar("T")
A = TypeVarTuple("A")

_PENDING: Final = object()


class _Job(Generic[T]):
    """A piece of work and who waits for it. All but `run` happens in the loop."""

    __slots__ = ("_arguments", "_loop", "_result", "_waiter", "_work", "error")

    def __init__(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> None:
        self._work = work
        self._arguments = arguments
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._result: Any = _PENDING
        self.error: BaseException | None = None

    def run(self) -> tuple[T | None, BaseException | None]:
        """In the thread."""
        try:
            return self._work(*self._arguments), None
        except BaseException as error:  # noqa: BLE001 - it is raised where the work is awaited
            return None, error

    def tell(self, ended: Callable[[_Job[T], tuple[T | None, BaseException | None]], None], outcome: Any) -> None:
        """In the thread: hands the outcome to the loop. Nobody waits any more if that is closed."""
        try:
            self._loop.call_soon_threadsafe(ended, self, outcome)
        except RuntimeError:
            return

    def end(self, outcome: tuple[T | None, BaseException | None]) -> None:
        self._result, self.error = outcome
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> T:
        """The outcome. A caller that is cancelled still waits for the end of the work."""
        cancelled: asyncio.CancelledError | None = None
        while self._result is _PENDING:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
        if self.error is not None:
            raise self.error
        return self.result()

    def result(self) -> T:
        """What the work returned, when it has ended without an error."""
        return cast("T", self._result)


class Threads:
    """A bounded pool for one loop. Its threads start when they are first needed and end with the pool.

    The pool of the standard library costs 25 µs more for each piece of work, which is as much as most pieces.
    """

    def __init__(self, name: str, *, most: int) -> None:
        self._name = name
        self._most = most
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._unfinished = 0

    async def run(self, work: Callable[[Unpack[A]], T], *arguments: *A) -> T:
        """Returns what `work(*arguments)` returns in a thread.

        A caller that is cancelled still waits for the end of *work*: who owns the descriptor that it works on may
        close it afterwards.
        """
        return await self._start(work, arguments).wait()

    async def open(self, work: Callable[[Unpack[A]], T], *arguments: *A, unwanted: Callable[[T], None]) -> T:
        """As `run`, for work that opens something: *unwanted* gets it if the caller was cancelled meanwhile."""
        job = self._start(work, arguments)
        try:
            return await job.wait()
        except asyncio.CancelledError:
            if job.error is None:
                unwanted(job.result())
            raise

    async def run_both(self, first: Callable[[], None], second: Callable[[], None]) -> None:
        """Runs both at once and waits for both, as `run` does; raises the error of one of them."""
        jobs = [self._start(work, ()) for work in (first, second)]
        error: BaseException | None = None
        for job in jobs:
            try:
                await job.wait()
            except BaseException as raised:  # noqa: BLE001 - raised when the other has ended as well
                error = error or raised
        if error is not None:
            raise error

    def close(self) -> None:
        """Waits for what was begun and ends the threads."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> _Job[T]:
        job = _Job(work, arguments)
        self._unfinished += 1
        if self._unfinished > len(self._threads) < self._most:
            thread = threading.Thread(target=self._serve, name=f"{self._name}_{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._jobs.put(job)
        return job

    def _serve(self) -> None:
        """A thread."""
        while (job := self._jobs.get()) is not None:
            job.tell(self._end, job.run())
            del job  # it would keep what the work had until the next one

    def _end(self, job: _Job[Any], outcome: tuple[Any, BaseException | None]) -> None:
        self._unfinished -= 1
        job.end(outcome)
