"""The pool of threads: what a cancelled caller may rely on."""

from __future__ import annotations

import asyncio
import threading

import pytest

from pycontainerd.threads import Threads


def test_a_cancelled_caller_goes_on_when_the_work_has_ended() -> None:
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go.wait()
        ended.set()

    async def main() -> None:
        with Threads("test", most=1) as threads:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(threads.run(work))
                await asyncio.to_thread(begun.wait)
                task.cancel()
                await asyncio.sleep(0)
                assert not task.done()
                task.cancel()
                go.set()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert ended.is_set()

    asyncio.run(main())


def test_what_the_work_raises_is_raised() -> None:
    async def main() -> None:
        with Threads("test", most=2) as threads:
            with pytest.raises(ZeroDivisionError):
                await threads.run(divmod, 1, 0)
            with pytest.raises(ZeroDivisionError):
                await threads.run_both(lambda: None, lambda: divmod(1, 0) and None)

    asyncio.run(main())


@pytest.mark.parametrize("cancelled", [False, True])
def test_what_was_opened_for_who_was_cancelled_is_given_back(cancelled: bool) -> None:
    begun, go = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        go.wait()
        return "opened"

    async def main() -> None:
        unwanted: list[str] = []
        with Threads("test", most=1) as threads:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(threads.open(work, unwanted=unwanted.append))
                await asyncio.to_thread(begun.wait)
                if cancelled:
                    task.cancel()
                await asyncio.sleep(0)
                go.set()
            assert unwanted == (["opened"] if cancelled else [])
            assert task.cancelled() is cancelled

    asyncio.run(main())
