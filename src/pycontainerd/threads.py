"""Threads for blocking work: system calls, hashing, what releases the interpreter's lock.

Each kind of work has its own pool, so that a slow disk doesn't hold up what needs no disk. Python that computes does
not belong here but in a worker process: it would hold the lock that the loop needs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
A = TypeVarTuple("A")


class Threads:
    """A bounded pool. Its threads start when they are first needed and end with the pool."""

    def __init__(self, name: str, *, most: int) -> None:
        self._executor = ThreadPoolExecutor(most, thread_name_prefix=name)

    async def run(self, work: Callable[[Unpack[A]], T], *arguments: *A) -> T:
        """Returns what `work(*arguments)` returns in a thread.

        A caller that is cancelled still waits for the end of *work*: who owns the descriptor that it works on may
        close it afterwards.
        """
        future = asyncio.get_running_loop().run_in_executor(self._executor, work, *arguments)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await _ended([future])
            raise

    async def run_both(self, first: Callable[[], None], second: Callable[[], None]) -> None:
        """Runs both at once and waits for both, as `run` does; raises the error of one of them."""
        loop = asyncio.get_running_loop()
        futures = [loop.run_in_executor(self._executor, work) for work in (first, second)]
        await _ended(futures)
        for future in reversed(futures):
            future.result()

    def close(self) -> None:
        """Waits for what runs and ends the threads."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def _ended(futures: Sequence[asyncio.Future[T]]) -> None:
    """Waits until all *futures* are done; a cancellation of the caller is raised only then."""
    cancelled: asyncio.CancelledError | None = None
    while not all(future.done() for future in futures):
        try:
            await asyncio.wait(futures)
        except asyncio.CancelledError as error:
            cancelled = error
    for future in futures:
        if not future.cancelled():
            future.exception()  # seen: a caller that is cancelled asks no more
    if cancelled is not None:
        raise cancelled
