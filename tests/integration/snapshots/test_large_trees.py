"""Trees that are too large for the daemon's threads are gone through by a worker, with the same result."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pycontainerd.snapshots import tree_work, trees
from pycontainerd.snapshots.tree_work import Trees
from pycontainerd.spawner.aio import Spawner
from pycontainerd.threads import Threads

Body = Callable[[Trees], Awaitable[None]]


def run(socket_dir: Path, body: Body) -> None:
    async def main() -> None:
        with Threads("trees", most=2) as threads:
            async with Spawner(str(socket_dir), idle_s=0.5) as spawner:
                await body(Trees(threads, spawner))

    asyncio.run(main())


def large(root: Path) -> Path:
    """A tree with more entries than a thread takes."""
    for number in range(30):
        (root / str(number)).mkdir(parents=True)
        for name in range(tree_work.SMALL // 20):
            (root / f"{number}/{name}").write_text(str(name))
    os.link(root / "0/1", root / "link")
    return root


def test_a_large_tree_is_measured_copied_and_removed(scratch: Path) -> None:
    source, target = large(scratch / "source"), scratch / "target"
    expected = trees.usage(str(source))
    assert expected.inodes > tree_work.SMALL

    async def body(work: Trees) -> None:
        assert await work.usage(str(source)) == expected
        await work.copy(str(source), str(target))
        assert await work.usage(str(target)) == expected
        await asyncio.gather(work.remove(str(source)), work.remove(str(target)))

    run(scratch, body)
    assert not source.exists()
    assert not target.exists()


def test_what_fails_in_the_worker_is_told(scratch: Path) -> None:
    source = large(scratch / "source")
    (scratch / "target").mkdir()

    async def body(work: Trees) -> None:
        with pytest.raises(OSError, match="exists") as refused:
            await work.copy(str(source), str(scratch / "target"))
        assert refused.value.errno == errno.EEXIST

    run(scratch, body)


def test_a_cancelled_call_ends_its_worker(scratch: Path) -> None:
    """The session that leaves a process behind fails; here the call must come to its end."""
    source = large(scratch / "source")

    async def body(work: Trees) -> None:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(work.usage(str(source))) for _ in range(3)]
            await calls[0]
            calls[1].cancel()
            calls[2].cancel()
        assert calls[0].result().inodes > tree_work.SMALL

    run(scratch, body)


def test_without_a_spawner_threads_do_it(scratch: Path) -> None:
    source = large(scratch / "source")

    async def main() -> None:
        with Threads("trees", most=2) as threads:
            work = Trees(threads)
            assert (await work.usage(str(source))).inodes > tree_work.SMALL
            await work.remove(str(source))

    asyncio.run(main())
    assert not source.exists()
