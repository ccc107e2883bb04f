"""A parent for tasks that come and go while the daemon runs.

A plugin's own `spawn` keeps what it starts until the daemon ends; a shim is watched, a deletion finished, only as long
as it takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, Self


class Spawn(Protocol):
    """Runs a coroutine beside the caller.

    A *result* that the coroutine is to set is cancelled if it ends without: it may be cancelled before its first step.
    """

    def __call__(
        self, coroutine: Coroutine[Any, Any, None], *, name: str, result: asyncio.Future[Any] | None = None
    ) -> None: ...


class Background:
    """Runs coroutines beside its owner, and cancels those that are left when the block ends.

    A coroutine that fails ends the owner as well, as in any task group.
    """

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(*exc_info)

    def spawn(
        self, coroutine: Coroutine[Any, Any, None], *, name: str, result: asyncio.Future[Any] | None = None
    ) -> None:
        """Runs *coroutine* as a task of its own; see `Spawn`."""
        task = self._group.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if result is not None:
            task.add_done_callback(lambda _: result.cancel())
