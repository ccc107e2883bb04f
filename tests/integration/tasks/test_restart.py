"""What a daemon that starts anew finds: nothing is lost that happened while there was none."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest

from pycontainerd.api.containerd.v1 import types_pb2 as process_pb2
from pycontainerd.errors import AlreadyExists, NotFound, Unavailable
from pycontainerd.rpc.asyncio_driver import AsyncioDriver
from pycontainerd.rpc.ttrpc.client import TtrpcClientConnection
from pycontainerd.runtime.bundle import Bundle
from pycontainerd.runtime.manager import Timeouts
from pycontainerd.runtime.task_api import TaskApi
from pycontainerd.shim import exit_record
from tests.integration.tasks.house import OUR_RUNTIME, House, Place, process, run


async def start(house: House, id_: str, *, pid: bool = False) -> Any:
    created = await house("create", container_id=id_)
    await house("start", container_id=id_)
    return created.pid


async def behind(place: Place, id_: str, method: str, *arguments: Any, **more: Any) -> Any:
    """Asks a shim while there is no daemon."""
    bundle = Bundle(place.namespace, id_, str(place.bundle(id_)), "")
    bootstrap = bundle.read_bootstrap()
    assert bootstrap is not None
    connection = TtrpcClientConnection(AsyncioDriver())
    await AsyncioDriver().connect_unix(bootstrap.address.removeprefix("unix://"), connection)
    try:
        return await getattr(TaskApi(connection, bootstrap, place.namespace), method)(id_, *arguments, **more)
    finally:
        await connection.close()


async def exit_noted(place: Place, id_: str) -> None:
    """Waits until the bundle says that an exit was told: the daemon notes it beside its other work."""
    async with asyncio.timeout(30):
        while id_ not in exit_record.read(str(place.bundle(id_))):  # noqa: ASYNC110 - what is waited for is a file
            await asyncio.sleep(0)


def test_a_running_task_goes_on(place: Place) -> None:
    place.add("c")

    async def story() -> None:
        async with House.open(place) as house:
            pid = await start(house, "c")
            await house("exec", container_id="c", exec_id="e", spec=process("/bin/sleep", "1000"))
            await house("start", container_id="c", exec_id="e")
        async with House.open(place) as house:
            tasks = (await house("list")).tasks
            assert [(task.id, task.pid) for task in tasks] == [("c", pid)]
            await house("kill", container_id="c", exec_id="e", signal=9)
            assert (await house("wait", container_id="c", exec_id="e")).exit_status == 137
            async with house.events() as until:
                await house("kill", container_id="c", signal=15, all=True)
                await house("kill", container_id="c", signal=9)
                assert (await house("wait", container_id="c")).exit_status == 137
                await until("/tasks/exit", id_="c")
            await house("delete", container_id="c")

    run(story())


def test_a_task_that_ended_meanwhile_is_there_with_its_exit_which_is_told_once(place: Place) -> None:
    place.add("c")

    async def story() -> None:
        async with House.open(place) as house:
            pid = await start(house, "c")
        await behind(place, "c", "kill", "", 9, all_=False)
        ended = await behind(place, "c", "wait", "")
        async with House.open(place) as house:
            answer = await house("get", container_id="c")
            assert answer.process.status == process_pb2.STOPPED
            assert answer.process.exit_status == ended.status == 137
            house.recovery.tell()
            await house.since_start("/tasks/exit", id_="c")
            # The shim tries since the exit; what it sends besides ours is equal and passed over.
            await house("delete", container_id="c")
            events = await house.since_start("/tasks/delete")
            exits = [event for event in events if event.DESCRIPTOR.name == "TaskExit"]
            assert [(event.pid, event.exit_status) for event in exits] == [(pid, 137)]

    run(story())


def test_an_exit_that_was_told_is_not_told_again_by_the_next_daemon(place: Place) -> None:
    place.add("c")

    async def story() -> None:
        async with House.open(place) as house:
            await start(house, "c")
        await behind(place, "c", "kill", "", 9, all_=False)
        await behind(place, "c", "wait", "")
        async with House.open(place) as house:
            house.recovery.tell()
            await house.since_start("/tasks/exit", id_="c")
        async with House.open(place) as house:
            async with house.events() as until:
                house.recovery.tell()
                await house("delete", container_id="c")
                events = await until("/tasks/delete")
            assert [event.DESCRIPTOR.name for event in events] == ["TaskDelete"]

    run(story())


def test_an_exit_that_was_told_before_is_not_told_after_a_restart(place: Place) -> None:
    place.add("c")

    async def story() -> None:
        async with House.open(place) as house:
            await start(house, "c")
            async with house.events() as until:
                await house("kill", container_id="c", signal=9)
                await until("/tasks/exit", id_="c")
            await exit_noted(place, "c")
        async with House.open(place) as house:
            async with house.events() as until:
                house.recovery.tell()
                await house("delete", container_id="c")
                events = await until("/tasks/delete")
            assert [event.DESCRIPTOR.name for event in events] == ["TaskDelete"]

    run(story())


def test_a_stopped_task_without_a_container_is_cleaned_up(place: Place) -> None:
    place.add("c")

    async def story() -> None:
        async with House.open(place) as house:
            await start(house, "c")
        await behind(place, "c", "kill", "", 9, all_=False)
        await behind(place, "c", "wait", "")
        record = place.containers.records.pop((place.namespace, "c"))
        async with House.open(place) as house:
            assert not place.bundle("c").exists()
            place.containers.records[place.namespace, "c"] = record
            with pytest.raises(NotFound, match="task c not found"):
                await house("get", container_id="c")

    run(story())


def test_a_running_task_without_a_container_is_kept(place: Place) -> None:
    place.add("c")

    async def story() -> None:
        async with House.open(place) as house:
            await start(house, "c")
        place.containers.records.clear()
        async with House.open(place) as house:
            assert [task.id for task in (await house("list")).tasks] == ["c"]

    run(story())


def test_a_shim_that_was_killed_meanwhile_is_cleaned_up_and_told(place: Place) -> None:
    place.add("c")

    async def story() -> None:
        async with House.open(place) as house:
            pid = await start(house, "c")
        shim = await behind(place, "c", "connect")
        os.kill(shim, 9)
        async with House.open(place) as house:
            assert not place.bundle("c").exists()
            async with house.events() as until:
                house.recovery.tell()
                exited, _ = await until("/tasks/delete")
            assert (exited.pid, exited.exit_status) == (pid, 137)

    run(story())


def test_a_task_that_was_only_created_is_kept(place: Place) -> None:
    place.add("c")

    async def story() -> None:
        async with House.open(place) as house:
            await house("create", container_id="c")
        async with House.open(place) as house:
            await house("start", container_id="c")
            answer = await house("get", container_id="c")
            assert answer.process.status == process_pb2.RUNNING

    run(story())


def test_garbage_in_the_state_directory_is_removed(place: Place) -> None:
    empty, doomed = place.bundle("empty"), place.bundle(".doomed")
    unborn, work = place.bundle("unborn"), place.base / "root" / place.namespace / "unborn"
    for directory in (empty, doomed, unborn, work):
        directory.mkdir(parents=True)
    (doomed / "rootfs").mkdir()
    shutil.copy("/etc/hostname", unborn / "config.json")

    async def story() -> None:
        async with House.open(place):
            assert not [path for path in (empty, doomed, unborn, work) if path.exists()]

    run(story())


def test_a_bundle_that_can_not_be_read_holds_up_no_other(place: Place) -> None:
    place.add("good")
    place.add("bad")

    async def story() -> None:
        async with House.open(place) as house:
            await start(house, "good")
        place.bundle("bad").mkdir()
        (place.bundle("bad") / "bootstrap.json").mkdir()
        async with House.open(place) as house:
            assert [task.id for task in (await house("list")).tasks] == ["good"]

    run(story())


def test_a_shim_that_is_slow_to_answer_is_kept_with_its_container(place: Place) -> None:
    place.add("c")

    async def story() -> None:
        async with House.open(place) as house:
            pid = await start(house, "c")
        (shim,) = place.shims()
        os.kill(shim, signal.SIGSTOP)
        try:
            async with House.open(place, timeouts=Timeouts(load_s=0.05)) as house:
                assert house.knows("c")
                os.kill(shim, signal.SIGCONT)
                answer = await house("get", container_id="c")
                assert (answer.process.pid, answer.process.status) == (pid, process_pb2.RUNNING)
                await house("kill", container_id="c", signal=9)
                await house("wait", container_id="c")
                await house("delete", container_id="c")
        finally:
            with suppress(ProcessLookupError):
                os.kill(shim, signal.SIGCONT)

    run(story())


@contextmanager
def full_backlog(place: Place, id_: str) -> Iterator[None]:
    """Connections to the shim of a task, which is stopped, until no more of them can wait."""
    bootstrap = Bundle(place.namespace, id_, str(place.bundle(id_)), "").read_bootstrap()
    assert bootstrap is not None
    with ExitStack() as waiting:
        while True:
            connecting = waiting.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            connecting.setblocking(False)
            if connecting.connect_ex(bootstrap.address.removeprefix("unix://")) == errno.EAGAIN:
                break
        yield


@pytest.mark.parametrize("place", [OUR_RUNTIME], indirect=True)  # the queue of the stock one takes 4,096
@pytest.mark.parametrize("then", ["lives", "dies"])
def test_a_shim_that_takes_no_connection_is_dialled_until_it_does_or_is_dead(place: Place, then: str) -> None:
    place.add("c")

    async def story() -> None:
        async with House.open(place) as house:
            pid = await start(house, "c")
        (shim,) = place.shims()
        os.kill(shim, signal.SIGSTOP)
        with full_backlog(place, "c"):
            async with House.open(place) as house, house.events() as until:
                house.recovery.tell()  # who listens hears what is found later as well
                with pytest.raises(Unavailable, match="task c: its shim takes no connection yet"):
                    await house("get", container_id="c")
                with pytest.raises(AlreadyExists, match="task c"):
                    await house("create", container_id="c")
                if then == "dies":
                    house.kill(shim)
                    assert [event.exit_status for event in await until("/tasks/delete")] == [137, 137]
                    assert os.listdir(place.state / place.namespace) == []
                    return
                os.kill(shim, signal.SIGCONT)
                async with asyncio.timeout(60):
                    while not house.knows("c"):  # noqa: ASYNC110 - nobody is told that it was found
                        await asyncio.sleep(0.01)
                assert (await house("get", container_id="c")).process.pid == pid
                await house("kill", container_id="c", signal=9)
                assert (await house("wait", container_id="c")).exit_status == 137
                await house("delete", container_id="c")

    run(story())
