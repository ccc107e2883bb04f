"""The messages of one stream between the connection that receives them and the coroutine that takes them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from pycontainerd.rpc.driver import Driver, Waiter

T = TypeVar("T")

INBOX_LIMIT: Final = 16
"""Messages that wait untaken before reading from the peer stops: ttrpc has no flow control of its own."""


class Inbox(Generic[T]):
    """A queue with an end; *changed* is told when it becomes longer or shorter than the limit."""

    __slots__ = ("_changed", "_driver", "_end", "_ended", "_items", "_waiter")

    def __init__(self, driver: Driver, changed: Callable[[int], None]) -> None:
        self._driver = driver
        self._changed = changed
        self._items: deque[T] = deque()
        self._waiter: Waiter[None] | None = None
        self._ended = False
        self._end: BaseException | None = None

    def put(self, item: T) -> None:
        """Adds a message; dropped after the end."""
        if self._ended:
            return
        self._items.append(item)
        if len(self._items) == INBOX_LIMIT:
            self._changed(1)
        self._wake()

    def end(self, error: BaseException | None = None) -> None:
        """Ends the queue: what is in it is still taken, then *error* is raised, or nothing more comes."""
        if not self._ended:
            self._ended, self._end = True, error
            self._wake()

    def drop(self) -> None:
        """Forgets what nobody will take."""
        self.end()
        if len(self._items) >= INBOX_LIMIT:
            self._changed(-1)
        self._items.clear()

    def __aiter__(self) -> Inbox[T]:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._ended:
                if self._end is not None:
                    raise self._end
                raise StopAsyncIteration
            self._waiter = self._driver.waiter()
            await self._waiter
        item = self._items.popleft()
        if len(self._items) == INBOX_LIMIT - 1:
            self._changed(-1)
        return item

    def _wake(self) -> None:
        if self._waiter is not None:
            self._waiter.set(None)
            self._waiter = None
