"""When the monitor acts: at the end of a task, but not more often than once in an interval."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec import structs

from pycontainerd.api.containerd.events_pb2 import TaskExit
from pycontainerd.clock import SystemClock
from pycontainerd.containers.model import Container
from pycontainerd.errors import NotFound, Unknown
from pycontainerd.events.exchange import Exchange
from pycontainerd.namespaces.model import Namespace
from pycontainerd.restarts import policy
from pycontainerd.restarts.monitor import Monitor
from pycontainerd.runtime.model import Exit, State, Status, Stdio
from pycontainerd.tasks.model import ContainerView, NewTask

LONG_S = 1000.0
FULL = OSError(errno.ENOSPC, "No space left on device", "/run/n/c")


@dataclass
class World:
    """A namespace `n` with a container `c` and its task, as the monitor sees them."""

    labels: dict[str, str]
    status: Status | None = Status.STOPPED
    refuses: Exception | None = None
    blind: int = 0
    """How often the namespaces can't be listed."""
    unreadable: bool = False
    snapshot_key: str = ""
    seen: list[str] = field(default_factory=list)
    looked: asyncio.Event = field(default_factory=asyncio.Event)
    recovered: asyncio.Event = field(default_factory=asyncio.Event)
    stdio: Stdio | None = None
    exchange: Exchange = field(default_factory=lambda: Exchange(SystemClock()))

    def __post_init__(self) -> None:
        self.recovered.set()

    @property
    def record(self) -> Container:
        return Container("c", labels=self.labels, snapshotter="nope", snapshot_key=self.snapshot_key)

    def end(self, *, exec_: bool = False) -> None:
        """The task ends, and that is told."""
        self.status = Status.STOPPED
        self.exchange.publish("n", "/tasks/exit", TaskExit(container_id="c", id="e" if exec_ else "c"))

    def get(self, namespace: str, container_id: str) -> Container:
        assert (namespace, container_id) == ("n", "c")
        if self.unreadable:
            self.seen.append("unreadable")
            raise FULL
        return self.record

    async def list(self, *arguments: Any) -> Any:
        if arguments:
            return [self.record]
        if self.blind:
            self.blind -= 1
            self.seen.append("blind")
            raise FULL
        return [Namespace("n", {})]

    async def update(self, namespace: str, sent: Container, paths: Sequence[str]) -> Container:
        assert list(paths) == [f"labels.{policy.COUNT}"]
        self.labels = {**self.labels, **sent.labels}
        self.seen.append(f"count {sent.labels[policy.COUNT]}")
        return structs.replace(self.record)

    async def container(self, namespace: str, id_: str) -> ContainerView:
        return ContainerView("c", "r", None, b'{"process":{"terminal":true}}', "")

    async def state(self, namespace: str, id_: str, exec_id: str) -> State:
        self.looked.set()
        if self.status is None:
            raise NotFound("task c")
        return State("c", 1, self.status, Stdio(), 1, 0)

    async def create(self, namespace: str, container: ContainerView, task: NewTask) -> int:
        self.seen.append("create")
        self.stdio = task.stdio
        if self.refuses is not None:
            raise self.refuses
        self.status = Status.CREATED
        return 1

    async def start(self, namespace: str, id_: str, exec_id: str) -> int:
        self.seen.append("start")
        self.status = Status.RUNNING
        return 1

    async def kill(self, namespace: str, id_: str, exec_id: str, signal: int, *, all_: bool) -> None:
        assert (signal, all_) == (9, True)
        if self.status is None:
            raise NotFound("task c")
        self.seen.append("kill")

    async def wait(self, namespace: str, id_: str, exec_id: str) -> Exit:
        return Exit(1, 137, 0)

    async def delete(self, namespace: str, id_: str) -> Exit:
        self.seen.append("delete")
        self.status = None
        return Exit(1, 137, 0)

    async def until(self, seen: Sequence[str]) -> None:
        """Returns when *seen* was done, and nothing else."""
        async with asyncio.timeout(30):
            while len(self.seen) < len(seen):  # noqa: ASYNC110 - what is waited for is a list
                await asyncio.sleep(0)
        assert self.seen == list(seen)

    async def until_looked(self) -> None:
        self.looked.clear()
        async with asyncio.timeout(30):
            await self.looked.wait()
        for _ in range(20):
            await asyncio.sleep(0)


RESTART = ["kill", "delete", "create", "start"]


def watch(world: World, story: Any, *, interval_s: float = LONG_S) -> None:
    async def body() -> None:
        monitor = Monitor(
            world, world, {}, world, events=world.exchange, clock=SystemClock(), interval_s=interval_s, grace_s=0
        )
        running = asyncio.ensure_future(monitor.run())
        try:
            await story()
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running

    asyncio.run(body())


def test_a_task_that_does_not_run_is_started_at_once() -> None:
    world = World({policy.STATUS: "running"})

    async def story() -> None:
        await world.until(["count 1", *RESTART])

    watch(world, story)
    assert world.stdio == Stdio()


def test_the_end_of_a_task_is_noticed() -> None:
    world = World({policy.STATUS: "running"}, status=Status.RUNNING)

    async def story() -> None:
        await world.until_looked()
        world.end(exec_=True)
        world.end()
        await world.until(["count 1", *RESTART])

    watch(world, story)


def test_a_task_that_ends_again_waits_for_its_interval() -> None:
    world = World({policy.STATUS: "running"})

    async def story() -> None:
        await world.until(["count 1", *RESTART])
        for _ in range(3):
            world.end()
            for _ in range(50):
                await asyncio.sleep(0)
        assert world.seen == ["count 1", *RESTART]

    watch(world, story)


@pytest.mark.parametrize("why", [Unknown("no"), FULL])
def test_a_task_that_can_not_be_created_is_tried_again_at_the_next_interval(why: Exception) -> None:
    world = World({policy.STATUS: "running"}, status=None, refuses=why)

    async def story() -> None:
        await world.until(["count 1", "create", "count 2", "create"])

    watch(world, story, interval_s=0.05)


def test_a_failure_to_look_is_no_end_either() -> None:
    world = World({policy.STATUS: "running"}, status=None, blind=2)

    async def story() -> None:
        await world.until(["blind", "blind", "count 1", "create", "start"])

    watch(world, story, interval_s=0.05)


def test_an_exit_of_what_can_not_be_read_is_no_end_either() -> None:
    world = World({policy.STATUS: "running"}, status=Status.RUNNING)

    async def story() -> None:
        await world.until_looked()
        world.unreadable = True
        world.end()
        await world.until(["unreadable"])
        world.unreadable = False
        world.end()
        await world.until(["unreadable", "count 1", *RESTART])

    watch(world, story)


def test_nothing_is_done_to_what_is_as_wanted() -> None:
    for labels, status in (
        ({policy.STATUS: "running"}, Status.RUNNING),
        ({policy.STATUS: "running"}, Status.PAUSED),
        ({policy.STATUS: "running", policy.POLICY: "no"}, Status.STOPPED),
        ({policy.STATUS: "running", policy.POLICY: "what"}, Status.STOPPED),
        ({policy.STATUS: "stopped"}, Status.STOPPED),
        ({policy.STATUS: "stopped"}, None),
        ({policy.STATUS: "what"}, Status.STOPPED),
    ):
        world = World(labels, status=status)
        watch(world, world.until_looked)
        assert world.seen == []


def test_a_task_that_is_to_be_stopped_is_killed_and_deleted() -> None:
    world = World({policy.STATUS: "stopped"}, status=Status.RUNNING)

    async def story() -> None:
        await world.until(["kill", "delete"])

    watch(world, story)


def test_a_log_gets_the_output_of_a_terminal_as_well() -> None:
    world = World({policy.STATUS: "running", policy.LOG_URI: "file:///log", policy.COUNT: "7"})

    async def story() -> None:
        await world.until(["count 8", *RESTART])

    watch(world, story)
    assert world.stdio == Stdio(stdout="file:///log", stderr="file:///log", terminal=True)


def test_a_container_whose_snapshotter_is_gone_is_left() -> None:
    world = World({policy.STATUS: "running"}, snapshot_key="k")

    async def story() -> None:
        await world.until(["count 1", "kill", "delete"])
        for _ in range(20):
            await asyncio.sleep(0)

    watch(world, story)
    assert world.seen == ["count 1", "kill", "delete"]
