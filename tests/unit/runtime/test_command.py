"""Programs that the daemon runs to their end."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from pycontainerd.runtime import command
from pycontainerd.system import process


def test_a_program_whose_caller_leaves_while_it_starts_is_killed_and_reaped(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[process.Process] = []
    begun, go_on = threading.Event(), threading.Event()

    def slowly(start: Callable[..., process.Process], *arguments: Any, **more: Any) -> process.Process:
        begun.set()
        go_on.wait(30)
        started.append(start(*arguments, **more))
        return started[-1]

    real = process.start
    monkeypatch.setattr(process, "start", lambda *arguments, **more: slowly(real, *arguments, **more))

    async def story() -> None:
        running = asyncio.ensure_future(command.run(["/bin/sleep", "1000"], cwd=None, env={}))
        await asyncio.to_thread(begun.wait, 30)
        running.cancel()
        asyncio.get_running_loop().call_later(0.01, go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await running
        assert [child.pidfd for child in started] == [-1]
        with pytest.raises(ProcessLookupError):
            os.kill(started[0].pid, 0)

    try:
        asyncio.run(story())
    finally:
        go_on.set()
        for child in started:
            child.close()
