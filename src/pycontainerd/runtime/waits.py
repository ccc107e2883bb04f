"""Waiting for the same process together.

A shim is asked once, however many clients wait for a process, come and go: ttrpc can't take a call back, so that each
one that is given up would stay in the shim until the process ends.
"""

from __future__ import annotations

import asyncio

from pycontainerd.runtime.background import Spawn
from pycontainerd.runtime.model import Exit
from pycontainerd.runtime.task_api import TaskApi


class Waits:
    """The processes of one shim that somebody waits for."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        self._ends: dict[str, asyncio.Future[Exit]] = {}

    async def end(self, api: TaskApi, id_: str, exec_id: str, spawn: Spawn) -> Exit:
        """The end of a process. Raises what the shim answers, or what its connection ends with."""
        end = self._ends.get(exec_id)
        if end is None:
            end = self._ends[exec_id] = asyncio.get_running_loop().create_future()
            spawn(_ask(end, api, id_, exec_id), name=f"wait for {id_} {exec_id}".rstrip(), result=end)
            end.add_done_callback(lambda _: self._ends.pop(exec_id))
        return await asyncio.shield(end)


async def _ask(end: asyncio.Future[Exit], api: TaskApi, id_: str, exec_id: str) -> None:
    try:
        end.set_result(await api.wait(id_, exec_id))
    except Exception as error:  # noqa: BLE001 - it is for those who wait, who may all have gone
        end.set_exception(error)
        end.exception()
