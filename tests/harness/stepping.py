"""A driver that a test steps by hand: nothing happens between two steps, and its clock stands still."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from pycontainerd.rpc.blocking_driver import BlockingDriver, BlockingTask, BlockingTimer, BlockingWaiter, Cancelled


class SteppingDriver:
    """The scheduler of the blocking driver without its poll."""

    cancelled: type[BaseException] = Cancelled

    def __init__(self) -> None:
        self.time = 0.0
        self._driver = BlockingDriver(self.now)
        self._tasks: list[BlockingTask] = []

    def now(self) -> float:
        return self.time

    def waiter(self) -> BlockingWaiter:
        return self._driver.waiter()

    def spawn(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> BlockingTask:
        task = self._driver.spawn(coroutine, name=name)
        self._tasks.append(task)
        return task

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> BlockingTimer:
        return self._driver.call_later(delay_s, callback)

    @property
    def running(self) -> int:
        """Coroutines that have not ended."""
        return sum(not task.finished for task in self._tasks)

    def step(self) -> None:
        """Runs everything that can run now. Raises the first error that a coroutine ended with."""
        self._driver.run_ready()
        for task in self._tasks:
            if task.error is not None and not isinstance(task.error, Cancelled):
                raise task.error
        self._tasks = [task for task in self._tasks if not task.finished]
