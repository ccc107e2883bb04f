"""Waiting for one process by many."""

from __future__ import annotations

import asyncio

import pytest

from pycontainerd.errors import NotFound
from pycontainerd.runtime.background import Background
from pycontainerd.runtime.model import Exit
from pycontainerd.runtime.waits import Waits


class Api:
    """A shim that answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    async def wait(self, id_: str, exec_id: str) -> Exit:
        self.asked.append(exec_id)
        return await self.answer


def ends(api: Api, background: Background, count: int) -> list[asyncio.Future[Exit]]:
    waits = Waits()
    return [asyncio.ensure_future(waits.end("", lambda: api.wait("c", ""), background.spawn)) for _ in range(count)]


def test_a_shim_is_asked_once_for_all_who_wait() -> None:
    async def story() -> None:
        async with Background() as background:
            api = Api()
            waiting = ends(api, background, 3)
            await asyncio.sleep(0)
            waiting[0].cancel()
            await asyncio.sleep(0)
            api.answer.set_result(Exit(0, 3, 1))
            assert [(await end).status for end in waiting[1:]] == [3, 3]
            assert api.asked == [""]

    asyncio.run(story())


def test_an_error_reaches_all_who_wait() -> None:
    async def story() -> None:
        async with Background() as background:
            api = Api()
            waiting = ends(api, background, 2)
            await asyncio.sleep(0)
            api.answer.set_exception(NotFound("process does not exist"))
            for end in waiting:
                with pytest.raises(NotFound):
                    await end

    asyncio.run(story())


def test_an_error_that_nobody_waits_for_is_dropped() -> None:
    async def story() -> None:
        async with Background() as background:
            api = Api()
            (end,) = ends(api, background, 1)
            await asyncio.sleep(0)
            end.cancel()
            await asyncio.sleep(0)
            api.answer.set_exception(NotFound("process does not exist"))

    asyncio.run(story())


def test_those_who_wait_when_the_daemon_stops_are_let_go() -> None:
    async def story() -> None:
        async with Background() as background:
            waiting = ends(Api(), background, 2)
            await asyncio.sleep(0)
        for end in waiting:
            with pytest.raises(asyncio.CancelledError):
                await end

    asyncio.run(story())
