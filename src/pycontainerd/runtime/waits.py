"""Waiting for the same process together.

A shim is asked once, however many clients wait for a process, come and go: ttrpc can't take a call back, so that each
one that is given up would stay in the shim until the process ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pycontainerd.runtime.background import Spawn
from pycontainerd.runtime.model import Exit

Awaited = str | None
"""A process by its exec id, the task itself by nothing; None is the sandbox."""


class Waits:
    """What of one shim somebody waits for."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        self._ends: dict[Awaited, asyncio.Future[Exit]] = {}

    async def end(self, awaited: Awaited, ask: Callable[[], Awaitable[Exit]], spawn: Spawn) -> Exit:
        """The end that *ask* asks the shim for. Raises what the shim answers, or what its connection ends with."""
        end = self._ends.get(awaited)
        if end is None:
            end = self._ends[awaited] = asyncio.get_running_loop().create_future()
            spawn(_ask(end, ask), name=f"wait for {awaited}", result=end)
            end.add_done_callback(lambda _: self._ends.pop(awaited))
        return await asyncio.shield(end)


async def _ask(end: asyncio.Future[Exit], ask: Callable[[], Awaitable[Exit]]) -> None:
    try:
        end.set_result(await ask())
    except Exception as error:  # noqa: BLE001 - it is for those who wait, who may all have gone
        end.set_exception(error)
        end.exception()
