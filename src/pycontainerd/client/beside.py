"""Coroutines that run beside a block and end with it, on whatever driver."""

from __future__ import annotations

from collections.abc import Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from pycontainerd.rpc.driver import Driver, Task, Waiter


T = TypeVar("T")


class Beside:
    """Runs helpers while the block does the main thing.

    Leaving the block cancels the helpers that still run. An error of a helper is raised when the block is
    left, and wins over the block's own, which is likely its consequence.
    """

    __slots__ = ("_driver", "_error", "_idle", "_main", "_open", "_tasks")

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._tasks: list[Task] = []
        self._open = 0
        self._idle: Waiter[None] | None = None
        self._error: BaseException | None = None
        self._main: Waiter[Any] | None = None

    def start(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> None:
        """Runs *coroutine* beside the block."""
        self._open += 1
        self._tasks.append(self._driver.spawn(self._watched(coroutine), name=name))

    async def _watched(self, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            await coroutine
        except self._driver.cancelled:
            raise
        except BaseException as error:  # noqa: BLE001 - raised where the block is left
            self._error = self._error or error
            if self._main is not None:
                self._main.fail(error)
        finally:
            self._open -= 1
            if self._idle is not None and not self._open:
                self._idle.set(None)

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs *coroutine* and returns what it returns, or raises what it raises, or what a helper raises
        first.
        """
        main: Waiter[T] = self._driver.waiter()
        self._main = main
        if self._error is not None:
            main.fail(self._error)
        self.start(_reported(coroutine, main), name="main")
        return await main

    async def ended(self) -> None:
        """Waits until all helpers have ended by themselves."""
        if self._open:
            self._idle = self._driver.waiter()
            await self._idle

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await self.ended()
        if self._error is not None:
            raise self._error


async def _reported(coroutine: Coroutine[Any, Any, T], outcome: Waiter[T]) -> None:
    try:
        outcome.set(await coroutine)
    except Exception as error:  # noqa: BLE001 - raised where it is waited for
        outcome.fail(error)
