"""Noting which exits were told."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pycontainerd.api.containerd import events_pb2
from pycontainerd.clock import SystemClock
from pycontainerd.events.exchange import Exchange
from pycontainerd.runtime import told
from pycontainerd.runtime.registry import Registry


def test_exits_are_noted_again_after_a_failure_and_after_falling_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[str] = []

    async def story() -> None:
        exchange = Exchange(SystemClock(), queue_limit=1)
        shims = Registry()
        foreign = SimpleNamespace(namespace="ns", id="c", is_ours=False, bundle=None)
        shims.add(cast("Any", foreign))
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def keep(bundle: Any, id_: str, exit_: Any) -> None:
            noted.append(id_)
            loop.call_soon_threadsafe(done.set)
            raise OSError("no space")

        monkeypatch.setattr(told, "keep_told", keep)

        async def told_and_noted(*ids: str) -> None:
            done.clear()
            for id_ in ids:
                event = events_pb2.TaskExit(container_id="c", id=id_)
                exchange.publish("ns", "/tasks/exit", event)
            await done.wait()

        noting = asyncio.ensure_future(told.note_told(exchange, shims))
        async with asyncio.timeout(30):
            while not exchange._subscriptions:  # noqa: ASYNC110 - it has no event of its own
                await asyncio.sleep(0)
            await told_and_noted("a")
            subscription = next(iter(exchange._subscriptions))
            exchange.publish("ns", "/tasks/exit", events_pb2.TaskExit(container_id="c", id="lost"))
            exchange.publish("ns", "/tasks/exit", events_pb2.TaskExit(container_id="c", id="lost"))
            while subscription in exchange._subscriptions or not exchange._subscriptions:
                assert not noting.done()
                await asyncio.sleep(0)
            await told_and_noted("b")
        noting.cancel()

    asyncio.run(story())
    assert noted == ["a", "b"]
