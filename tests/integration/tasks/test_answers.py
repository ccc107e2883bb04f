"""Our tasks' service, with our shim and the stock one below it: the answers are those of stock containerd."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from pycontainerd.api.containerd.v1 import types_pb2 as process_pb2
from pycontainerd.errors import Error
from pycontainerd.rpc.status import Code, to_status
from tests.integration.tasks import house
from tests.integration.tasks.house import House, Place, mount, process

Story = Callable[[House], Awaitable[None]]


def run(place: Place, story: Story) -> None:
    async def body() -> None:
        async with House.open(place) as opened:
            await story(opened)

    house.run(body())


async def refused(house: House, method: str, **fields: Any) -> tuple[str, str]:
    """The code and text that a call is answered with."""
    with pytest.raises(Error) as error:
        await house(method, **fields)
    status = to_status(error.value)
    return Code(status.code).name, status.message


async def running(house: House, id_: str = "c") -> int:
    """Starts a task of a container that was added: its pid."""
    created = await house("create", container_id=id_)
    await house("start", container_id=id_)
    return int(created.pid)


async def stop(house: House, id_: str = "c") -> None:
    """Kills a task and waits for its end."""
    await house("kill", container_id=id_, signal=9)
    await house("wait", container_id=id_)


def test_a_task_runs_to_its_end_and_its_events_come_in_order(place: Place) -> None:
    place.add("c", "/bin/sh", "-c", "exit 3")

    async def story(house: House) -> None:
        async with house.events() as until:
            created = await house("create", container_id="c")
            await house("start", container_id="c")
            waited = await house("wait", container_id="c")
            deleted = await house("delete", container_id="c")
            events = await until("/tasks/delete")
        assert created.pid == deleted.pid > 0
        assert waited.exit_status == deleted.exit_status == 3
        names = [event.DESCRIPTOR.name for event in events]
        assert names == ["TaskCreate", "TaskStart", "TaskExit", "TaskDelete"]
        assert await refused(house, "get", container_id="c") == ("NOT_FOUND", "task c not found")
        assert not place.bundle("c").exists()

    run(place, story)


def test_a_task_is_described_in_each_of_its_states(place: Place) -> None:
    place.add("c")

    async def status(house: House) -> str:
        answer = await house("get", container_id="c")
        assert answer.process.id == "c"
        assert answer.process.container_id == ""
        return process_pb2.Status.Name(answer.process.status)

    async def story(house: House) -> None:
        await house("create", container_id="c")
        assert await status(house) == "CREATED"
        await house("start", container_id="c")
        assert await status(house) == "RUNNING"
        await house("pause", container_id="c")
        assert await status(house) == "PAUSED"
        await house("resume", container_id="c")
        assert [task.id for task in (await house("list")).tasks] == ["c"]
        await stop(house)
        assert await status(house) == "STOPPED"
        assert (await house("get", container_id="c")).process.exit_status == 137

    run(place, story)


def test_calls_in_the_wrong_state_are_refused_in_the_words_of_the_original(place: Place) -> None:
    place.add("c")

    async def story(house: House) -> None:
        async def no(method: str, **fields: Any) -> tuple[str, str]:
            return await refused(house, method, container_id="c", **fields)

        await house("create", container_id="c")
        assert await no("create") == ("ALREADY_EXISTS", "task c: already exists")
        assert await no("pause") == ("UNKNOWN", "cannot pause task in created state")
        await house("start", container_id="c")
        assert await no("start") == ("UNKNOWN", "cannot start a running process")
        assert await no("delete") == ("UNKNOWN", "failed to delete task: cannot delete a running process")
        assert await no("resume") == ("UNKNOWN", "cannot resume a running process")
        assert (await no("update", resources=AnyMessage(value=b"{")))[0] == "UNKNOWN"
        code, text = await no("kill", signal=99)
        assert (code, text.strip()) == (
            "UNKNOWN",
            (
                "unknown error after kill: runc did not terminate successfully: exit status 1: "
                "unable to signal init: invalid argument"
            ),
        )
        await house("pause", container_id="c")
        assert await no("pause") == ("UNKNOWN", "cannot pause a paused container")
        assert await no("delete") == ("UNKNOWN", "failed to delete task: cannot delete a paused process")
        assert await no("exec", exec_id="e", spec=process("/bin/true")) == (
            "UNKNOWN",
            "cannot exec in a paused state",
        )
        await house("resume", container_id="c")
        await stop(house)
        assert await no("kill", signal=9) == ("NOT_FOUND", "process already finished: not found")
        await house("kill", container_id="c", signal=9, all=True)
        assert await no("start") == ("UNKNOWN", "cannot start a stopped process")
        assert await no("pause") == ("UNKNOWN", "cannot pause a stopped container")
        assert await no("update", resources=AnyMessage(value=b"{}")) == (
            "UNKNOWN",
            "cannot update a stopped container",
        )
        assert not (await house("list_pids", container_id="c")).processes
        await house("close_io", container_id="c", stdin=True)
        await house("delete", container_id="c")
        assert await no("delete") == ("NOT_FOUND", "task c not found")

    run(place, story)


def test_an_exec_lives_and_ends_beside_its_task(place: Place) -> None:
    place.add("c")

    async def story(house: House) -> None:
        async def no(method: str, **fields: Any) -> tuple[str, str]:
            return await refused(house, method, container_id="c", exec_id="e", **fields)

        await running(house)
        missing = ("NOT_FOUND", "process does not exist e: not found")
        for method in ("start", "get", "kill", "wait", "resize_pty", "close_io", "delete_process"):
            assert await no(method) == missing
        assert (await no("exec", spec=AnyMessage(value=b"{")))[0] == "UNKNOWN"
        await house("exec", container_id="c", exec_id="e", spec=process("/bin/sh", "-c", "exit 4"))
        assert await no("exec", spec=process("/bin/true")) == ("ALREADY_EXISTS", "id e: already exists")
        assert await no("kill", signal=9) == ("FAILED_PRECONDITION", "process not created: failed precondition")
        started = await house("start", container_id="c", exec_id="e")
        assert (await house("wait", container_id="c", exec_id="e")).exit_status == 4
        assert await no("kill", signal=9) == ("NOT_FOUND", "process already finished: not found")
        deleted = await house("delete_process", container_id="c", exec_id="e")
        assert (deleted.id, deleted.pid, deleted.exit_status) == ("e", started.pid, 4)
        assert await no("delete_process") == missing
        assert await refused(house, "exec", container_id="c", exec_id="a b", spec=process("/bin/true")) == (
            "INVALID_ARGUMENT",
            (
                'invalid exec id a b: identifier "a b" must match ^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$: '
                "invalid argument"
            ),
        )

    run(place, story)


def test_the_pids_of_a_task_say_which_exec_each_is(place: Place) -> None:
    place.add("c")

    async def story(house: House) -> None:
        pid = await running(house)
        await house("exec", container_id="c", exec_id="e", spec=process("/bin/sleep", "1000"))
        started = await house("start", container_id="c", exec_id="e")
        answer = await house("list_pids", container_id="c")
        infos = {it.pid: it.info.type_url if it.HasField("info") else "" for it in answer.processes}
        assert infos == {pid: "", started.pid: "containerd.runc.v1.ProcessDetails"}

    run(place, story)


def test_figures_are_those_of_the_tasks_that_a_filter_means(place: Place) -> None:
    place.add("c")

    async def story(house: House) -> None:
        await running(house)
        for filters in ([], ["id==c"], [f"namespace=={place.namespace}"]):
            answer = await house("metrics", filters=filters)
            assert [it.id for it in answer.metrics] == ["c"]
            assert answer.metrics[0].data.type_url.startswith("io.containerd.cgroups.")
        assert not (await house("metrics", filters=["id==other"])).metrics
        assert (await refused(house, "metrics", filters=["~~"]))[0] == "UNKNOWN"

    run(place, story)


def test_a_container_that_runc_refuses_leaves_nothing(place: Place) -> None:
    place.add("c", "/nope")

    async def story(house: House) -> None:
        code, text = await refused(house, "create", container_id="c")
        assert code == "UNKNOWN"
        assert text.startswith("failed to create shim task: OCI runtime create failed: ")
        assert text.endswith("no such file or directory")
        code, text = await refused(house, "create", container_id="c", stdout="foo://x")
        assert text.startswith("failed to create shim task: ")
        assert text.endswith("unknown STDIO scheme foo")
        code, text = await refused(house, "create", container_id="c", rootfs=[mount(type="bind", source="/nope")])
        assert text.startswith("failed to create shim task: failed to mount rootfs component: ")
        assert await refused(house, "get", container_id="c") == ("NOT_FOUND", "task c not found")
        assert not place.bundle("c").exists()
        assert not (place.base / "root" / place.namespace / "c").exists()

    run(place, story)


def test_requests_without_their_named_part_are_refused(place: Place) -> None:
    place.add("c")

    async def story(house: House) -> None:
        async def no(method: str, **fields: Any) -> tuple[str, str]:
            return await refused(house, method, **fields)

        absent = f'container "x" in namespace "{place.namespace}": not found'
        assert await no("create", container_id="x") == ("NOT_FOUND", absent)
        assert await no("wait", container_id="x") == ("NOT_FOUND", absent)
        assert await no("wait", container_id="c") == ("NOT_FOUND", "task c not found")
        assert await no("exec", container_id="c") == ("INVALID_ARGUMENT", "exec id cannot be empty")
        assert (await no("exec", container_id="c", exec_id="e"))[0] == "INVALID_ARGUMENT"
        assert (await no("update", container_id="c"))[0] == "INVALID_ARGUMENT"

    run(place, story)


@pytest.mark.parametrize(
    ("runtime", "text"),
    [
        (
            "io.containerd.nope.v2",
            (
                'failed to resolve runtime path: runtime "io.containerd.nope.v2" binary not installed '
                '"containerd-shim-nope-v2": file does not exist'
            ),
        ),
        (
            "/nope",
            "failed to resolve runtime path: invalid custom binary path: stat /nope: no such file or directory",
        ),
        (
            "foo",
            (
                "failed to resolve runtime path: invalid runtime name foo, correct runtime name should be either "
                "format like `io.containerd.runc.v2` or a full path to the binary"
            ),
        ),
        ("/bin/true", 'start failed: unexpected protocol: ""'),
        ("/bin/false", "start failed: : exit status 1"),
    ],
)
def test_a_runtime_that_is_none_is_named(place: Place, runtime: str, text: str) -> None:
    place.runtime = runtime
    place.add("c")

    async def story(house: House) -> None:
        assert await refused(house, "create", container_id="c") == ("UNKNOWN", f"failed to start shim: {text}")
        assert not place.bundle("c").exists()

    run(place, story)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (AnyMessage(type_url="x"), "type with url x: not found"),
        (
            AnyMessage(type_url="containerd.events.TaskOOM"),
            "invalid task create option for io.containerd.runc.v2",
        ),
    ],
)
def test_options_that_are_none_of_runc_are_refused(place: Place, options: AnyMessage, text: str) -> None:
    place.runtime = "io.containerd.runc.v2"
    place.add("c")

    async def story(house: House) -> None:
        assert await refused(house, "create", container_id="c", options=options) == ("UNKNOWN", text)

    run(place, story)


def test_a_shim_that_is_killed_takes_its_task_along_and_clients_hear_of_it(place: Place) -> None:
    place.add("c")

    async def story(house: House) -> None:
        pid = await running(house)
        shim = await house.tasks.manager.shims.get(place.namespace, "c").api.connect("c")
        async with house.events() as until:
            house.kill(shim)
            exited, deleted = await until("/tasks/delete")
        assert (exited.pid, exited.exit_status) == (deleted.pid, deleted.exit_status) == (pid, 137)
        assert await refused(house, "get", container_id="c") == ("NOT_FOUND", "task c not found")
        assert not place.bundle("c").exists()

    run(place, story)


@pytest.mark.parametrize("moment", ["rootfs", "bootstrap.json", "init.pid"])
def test_a_client_that_leaves_while_its_task_is_created_leaves_nothing(place: Place, moment: str) -> None:
    place.add("c")

    async def story(house: House) -> None:
        creating = asyncio.ensure_future(house("create", container_id="c"))
        while not (place.bundle("c") / moment).exists():  # noqa: ASYNC110 - what is waited for is a file
            await asyncio.sleep(0)
        creating.cancel()
        async with asyncio.timeout(30):
            while place.bundle("c").exists() or house.knows("c"):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0)
        await running(house)
        assert len(place.shims()) == 1

    run(place, story)
