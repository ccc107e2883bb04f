"""The end of a container's init: recorded at once, and told whatever becomes of the rest."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from pycontainerd.errors import Unknown
from pycontainerd.shim import container as module
from pycontainerd.shim import exit_record
from pycontainerd.shim.container import Container
from pycontainerd.shim.creation import CreateTask
from pycontainerd.shim.exec_fifo import KnownRuntimes
from pycontainerd.shim.host import Host
from pycontainerd.shim.journal import Journal
from pycontainerd.shim.loop import Loop
from pycontainerd.shim.options import Options
from pycontainerd.shim.reaper import Ended, Reaper
from pycontainerd.shim.runc import Runc
from pycontainerd.shim.stdio import uri

ENDED = Ended(4711, 3, 1_000_000_007)


class Told:
    """Takes events."""

    def __init__(self) -> None:
        self.topics: list[str] = []

    def publish(self, topic: str, event: Message, *, delivered: Callable[[], None] | None = None) -> None:
        self.topics.append(topic)


async def as_it_is(container: Container) -> None: ...


def end_with(
    bundle: Path,
    run: Callable[[Loop], Awaitable[bytes]],
    *,
    before: Callable[[Container], Awaitable[None]] = as_it_is,
) -> tuple[list[str], list[bool]]:
    """A container without pids of its own ends, and *run* stands in for runc: what is told, and whether the exit
    was in the bundle when runc was called."""

    class PlayedRunc(Runc):
        async def run(self, *arguments: str, stdin: bytes = b"") -> bytes:
            assert arguments == ("kill", "--all", "c", "9")
            recorded.append("c" in exit_record.read(str(bundle)))
            return await run(self.loop)

    errors: list[BaseException] = []
    recorded: list[bool] = []
    told = Told()
    loop = Loop(lambda name, error: errors.append(error))

    async def main() -> None:
        journal = Journal(-1, debug=False, fields={})
        host = Host(loop, Reaper(loop), journal, told, "n", {}, KnownRuntimes(), (), PlayedRunc)
        request = CreateTask("c", str(bundle), (), uri.Request("", "", "", terminal=False), Options(), "", "")
        container = Container(host, request)
        await before(container)
        exited = loop.waiter()
        exited.set(ENDED)
        await loop.spawn(container._watch_init(exited), name="init").ended
        assert container.init.exited.done()
        assert container.init.exit_status == ENDED.status

    loop.run(main())
    assert errors == []
    return told.topics, recorded


async def hang(loop: Loop) -> bytes:
    await loop.waiter()
    return b""


async def fail(error: Exception) -> bytes:
    raise error


FAILURES: dict[str, Callable[[Loop], Awaitable[bytes]]] = {
    "no descriptor left": lambda loop: fail(OSError(24, "Too many open files")),
    "runc fails": lambda loop: fail(Unknown("runc")),
    "a defect": lambda loop: fail(ValueError("what")),
    "runc hangs": hang,
}


@pytest.mark.parametrize("run", FAILURES.values(), ids=FAILURES.keys())
def test_an_exit_is_recorded_and_told_though_the_rest_cannot_be_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[[Loop], Awaitable[bytes]]
) -> None:
    monkeypatch.setattr(module, "KILL_ALL_S", 0.01, raising=False)
    told, recorded = end_with(tmp_path, run)
    assert (told, recorded) == (["/tasks/exit"], [True])
    record: Any = exit_record.read(str(tmp_path))["c"]
    assert (record.pid, record.status, record.at_ns) == (4711, 3, 1_000_000_007)


@pytest.mark.parametrize("what", ["exec", "init"])
def test_an_exit_is_told_though_the_start_of_a_process_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(module, "STARTING_S", 0.01)

    async def hangs(container: Container) -> None:
        if what == "exec":
            container.execs._starting = 1
        else:
            container._starting = container.host.loop.waiter()

    async def nothing(loop: Loop) -> bytes:
        return b""

    told, _ = end_with(tmp_path, nothing, before=hangs)
    assert told == ["/tasks/exit"]
