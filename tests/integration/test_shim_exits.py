"""What is kept and told of the end of processes, whatever ends besides them."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from pycontainerd.api.containerd import events_pb2
from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2
from pycontainerd.api.containerd.task import v3_pb2 as task
from pycontainerd.errors import InvalidArgument
from pycontainerd.rpc.ttrpc.link import ConnectionClosed
from pycontainerd.shim import exit_record
from tests.harness.cgroups import group_everywhere
from tests.harness.machine import SESSION
from tests.integration.shim_process import OURS, STOCK, ShimProcess

Body = Callable[[ShimProcess], Coroutine[Any, Any, None]]


def run(shim: ShimProcess, body: Body) -> None:
    async def with_shim() -> None:
        await body(shim)

    shim.run(with_shim)


def select_readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 30)[0])


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


async def run_to_the_end(shim: ShimProcess) -> None:
    await shim.create()
    await shim.begin()
    await shim.wait()


def test_an_exit_is_in_the_bundle_before_anyone_is_told_and_marked_once_delivered(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        await run_to_the_end(shim)
        record = exit_record.read(str(shim.bundle))["c1"]
        assert record.status == 3
        assert abs(record.at_ns - time.time_ns()) < 60_000_000_000
        event = await shim.event("/tasks/exit")
        assert isinstance(event, events_pb2.TaskExit)
        assert (event.pid, event.exit_status) == (record.pid, record.status)
        assert event.exited_at.seconds * 1_000_000_000 + event.exited_at.nanos == record.at_ns
        await shim.call("state", task.StateRequest(id="c1"))
        while not exit_record.read(str(shim.bundle))["c1"].delivered:
            await shim.loop.sleep(0.005)

    with ShimProcess.start(OURS, scratch, "/bin/sh", "-c", "exit 3") as shim:
        run(shim, body)


def test_an_exit_that_no_daemon_takes_stays_undelivered(scratch: Path) -> None:
    with ShimProcess.start(OURS, scratch, "/bin/sh", "-c", "exit 3") as shim:
        shim.stop_listening()
        run(shim, run_to_the_end)
        record = exit_record.read(str(shim.bundle))["c1"]
        assert (record.status, record.delivered) == (3, False)


def test_a_daemon_that_comes_back_gets_what_happened_meanwhile_in_order(scratch: Path) -> None:
    async def take(shim: ShimProcess) -> None:
        await shim.event("/tasks/exit")
        assert [topic for topic, _ in shim.events] == ["/tasks/create", "/tasks/start", "/tasks/exit"]

    with ShimProcess.start(OURS, scratch, "/bin/sh", "-c", "exit 3") as shim:
        shim.stop_listening()
        run(shim, run_to_the_end)
        shim.listen()
        run(shim, take)


def test_delete_answers_the_recorded_exit_of_a_shim_that_died(scratch: Path) -> None:
    with ShimProcess.start(OURS, scratch, "/bin/sh", "-c", "exit 3") as shim:
        run(shim, run_to_the_end)
        pid = shim.pid()
        os.kill(pid, signal.SIGKILL)
        record = exit_record.read(str(shim.bundle))["c1"]
        done = shim.run_executable("c1", "-bundle", str(shim.bundle), "delete")
        answer = task.DeleteResponse.FromString(done.stdout)
        assert (answer.pid, answer.exit_status, done.stderr) == (record.pid, 3, b"")


@pytest.mark.parametrize(
    ("point", "status"), [("shim.exit.seen", 137), ("shim.exit.recorded", 3), ("shim.exit.told", 3)]
)
def test_a_shim_that_dies_at_an_exit_has_recorded_it_or_told_nobody(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, point: str, status: int
) -> None:
    def faulty(self: ShimProcess) -> dict[str, str]:
        return before(self) | {"PYCONTAINERD_FAULT": f"{point}:kill"}

    before = ShimProcess.environment
    monkeypatch.setattr(ShimProcess, "environment", faulty)

    async def body(shim: ShimProcess) -> None:
        await shim.create()
        with pytest.raises(ConnectionClosed):
            await run_on(shim)
        told = [topic for topic, _ in shim.events if topic == "/tasks/exit"]
        assert not told or status == 3

    async def run_on(shim: ShimProcess) -> None:
        await shim.begin()
        await shim.wait()

    with ShimProcess.start(OURS, scratch, "/bin/sh", "-c", "exit 3") as shim:
        run(shim, body)
        done = shim.run_executable("c1", "-bundle", str(shim.bundle), "delete")
        assert task.DeleteResponse.FromString(done.stdout).exit_status == status


@pytest.mark.parametrize("kind", [OURS, STOCK])
def test_delete_kills_the_container_of_a_shim_that_died(scratch: Path, kind: str) -> None:
    init: list[int] = []

    async def body(shim: ShimProcess) -> None:
        await shim.create()
        init.append(await shim.begin())

    with ShimProcess.start(kind, scratch, "/bin/sleep", "1000") as shim:
        run(shim, body)
        descriptor = os.pidfd_open(init[0])
        os.kill(shim.pid(), signal.SIGKILL)
        done = shim.run_executable("c1", "-bundle", str(shim.bundle), "delete")
        answer = task.DeleteResponse.FromString(done.stdout)
        assert (answer.pid, answer.exit_status) == (init[0], 137)
        assert select_readable(descriptor)
        os.close(descriptor)
        assert not (shim.base / "runc" / shim.namespace / "c1").exists()


def test_execs_that_end_at_once_lose_no_exit(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        await shim.create()
        await shim.begin()
        for number in range(10):
            await shim.add_exec(f"e{number}", "/bin/sh", "-c", f"exit {number}")
            await shim.begin(f"e{number}")
        assert [await shim.wait(f"e{number}") for number in range(10)] == list(range(10))
        for number in range(10):
            await shim.delete(f"e{number}")
        assert exit_record.read(str(shim.bundle)) == {}
        assert not list(shim.bundle.glob("e*.pid"))

    with ShimProcess.start(OURS, scratch, "/bin/sleep", "1000") as shim:
        run(shim, body)


def test_the_exits_of_execs_come_before_that_of_init(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        await shim.create()
        await shim.begin()
        for number in range(3):
            await shim.add_exec(f"e{number}", "/bin/sleep", "1000")
            await shim.begin(f"e{number}")
        await shim.kill()
        await shim.event("/tasks/exit", 4)
        exits = [event.id for topic, event in shim.events if topic == "/tasks/exit"]  # type: ignore[attr-defined]
        assert sorted(exits[:3]) == ["e0", "e1", "e2"]
        assert exits[3] == "c1"

    for own_pids in (True, False):
        base = scratch / str(own_pids)
        base.mkdir()
        with ShimProcess.start(OURS, base, "/bin/sleep", "1000", own_pids=own_pids) as shim:
            run(shim, body)


def test_orphans_in_the_container_do_not_become_zombies(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        await shim.create()
        await shim.begin()
        await shim.add_exec("e", "/bin/sh", "-c", "(sleep 0.05; exit 1) & exit 0")
        await shim.begin("e")
        assert await shim.wait("e") == 0
        pid = (await shim.call("connect", task.ConnectRequest(id="c1"))).shim_pid
        while len(children_of(pid)) > 1:
            await shim.loop.sleep(0.01)

    with ShimProcess.start(OURS, scratch, "/bin/sleep", "1000", own_pids=False) as shim:
        run(shim, body)


def test_shutdown_waits_for_the_last_container_and_removes_the_socket(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        await run_to_the_end(shim)
        await shim.call("shutdown", task.ShutdownRequest(id="c1"))
        await shim.call("state", task.StateRequest(id="c1"))
        await shim.delete()
        await shim.call("shutdown", task.ShutdownRequest(id="c1"))
        assert shim.client is not None
        await shim.client.wait_closed()
        await shim.event("/tasks/delete")
        while shim.socket_path.exists():
            await shim.loop.sleep(0.005)

    with ShimProcess.start(OURS, scratch, "/bin/true") as shim:
        run(shim, body)


@pytest.mark.parametrize("annotation", ["io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"])
def test_containers_of_a_group_share_one_shim_and_its_socket_is_removed(scratch: Path, annotation: str) -> None:
    async def body(shim: ShimProcess) -> None:
        await shim.create()
        await shim.begin()
        await shim.call("create", shim.create_request("c2"))
        assert (await shim.call("start", task.StartRequest(id="c2"))).pid > 0
        one, two = [await shim.call("connect", task.ConnectRequest(id=id_)) for id_ in ("c1", "c2")]
        assert one.shim_pid == two.shim_pid
        assert one.task_pid != two.task_pid
        for id_ in ("c1", "c2"):
            await shim.call("kill", task.KillRequest(id=id_, signal=9))
            await shim.call("wait", task.WaitRequest(id=id_))
            await shim.call("delete", task.DeleteRequest(id=id_))
            await shim.call("shutdown", task.ShutdownRequest(id=id_))
        assert shim.client is not None
        await shim.client.wait_closed()
        while shim.socket_path.exists():
            await shim.loop.sleep(0.005)

    with ShimProcess.start(OURS, scratch, "/bin/sleep", "1000", annotations={annotation: "pod"}) as shim:
        shim.make_bundle(
            "c2",
            shim.spec_of("c1") | {"linux": {**shim.spec_of("c1")["linux"], "cgroupsPath": f"/{shim.namespace}/c2"}},
        )
        assert shim.run_start("c2") == f"unix://{shim.socket_path}"
        run(shim, body)


def test_a_dead_socket_is_replaced(scratch: Path) -> None:
    with ShimProcess.start(OURS, scratch, "/bin/true") as shim:
        os.kill(shim.pid(), signal.SIGKILL)
        while True:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                if probe.connect_ex(str(shim.socket_path)):
                    break
        assert shim.run_start("c1") == f"unix://{shim.socket_path}"
        run(shim, run_to_the_end)


def test_sigterm_ends_a_shim_in_order(scratch: Path) -> None:
    with ShimProcess.start(OURS, scratch, "/bin/true") as shim:
        pid = shim.pid()
        descriptor = os.pidfd_open(pid)
        os.kill(pid, signal.SIGUSR1)
        os.kill(pid, signal.SIGTERM)
        assert select_readable(descriptor)
        os.close(descriptor)
        assert not shim.socket_path.exists()
        assert "BEGIN coroutine dump" in shim.log_of("c1")


def test_a_shim_is_seen_as_the_original_is(scratch: Path) -> None:
    seen = {}
    for kind in (OURS, STOCK):
        with ShimProcess.start(kind, scratch, "/bin/true") as shim:
            process = Path(f"/proc/{shim.pid()}")
            arguments = (process / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
            parent = (process / "stat").read_text().rpartition(") ")[2].split()[1]
            mine = int(Path("/proc/self/oom_score_adj").read_text())
            seen[kind] = {
                "name": (process / "comm").read_text(),
                "flags": [argument for argument in arguments[1:] if argument.startswith(b"-")],
                "program": os.path.basename(arguments[0]),
                "orphaned": parent == "1",
                "score": int((process / "oom_score_adj").read_text()) - mine,
                "directory": os.path.relpath(os.readlink(process / "cwd"), shim.base).replace(shim.namespace, "NS"),
                "mode": shim.socket_path.stat().st_mode,
            }
    assert seen[OURS] == seen[STOCK]


def test_requests_that_kill_the_original_are_refused(scratch: Path) -> None:
    async def body(shim: ShimProcess) -> None:
        await shim.create()
        await shim.begin()
        with pytest.raises(InvalidArgument):
            await shim.call("exec", task.ExecProcessRequest(id="c1", exec_id="e"))
        with pytest.raises(InvalidArgument):
            await shim.call("update", task.UpdateTaskRequest(id="c1"))
        with pytest.raises(InvalidArgument):
            await shim.call("create", task.CreateTaskRequest(id="c2"))
        with pytest.raises(InvalidArgument):
            await shim.call("create", task.CreateTaskRequest(id="../c2", bundle=str(shim.bundle)))
        request = shim.exec_request("../e", "/bin/true")
        with pytest.raises(InvalidArgument):
            await shim.call("exec", request)
        await shim.add_exec("e", "/bin/sleep", "1000")
        await shim.begin("e")
        assert (await shim.outcome("start", task.StartRequest(id="c1", exec_id="e")))[0] == "code 2"
        await shim.kill()
        assert await shim.wait() == 137

    with ShimProcess.start(OURS, scratch, "/bin/sleep", "1000") as shim:
        run(shim, body)


def test_version_2_of_the_api_is_the_same(scratch: Path) -> None:
    with ShimProcess.start(OURS, scratch, "/bin/sh", "-c", "exit 3") as shim:
        shim.version = 2
        run(shim, run_to_the_end)
        assert exit_record.read(str(shim.bundle))["c1"].status == 3


def test_a_caller_that_goes_away_does_not_stop_what_it_has_begun(scratch: Path) -> None:
    async def begin(shim: ShimProcess) -> None:
        assert shim.client is not None
        task_, _ = shim.loop.begin(shim.call("create", shim.create_request()), name="create")
        while not (shim.bundle / "options.json").exists():
            await shim.loop.sleep(0.001)
        shim.client.abort()
        await task_.ended

    async def go_on(shim: ShimProcess) -> None:
        await shim.event("/tasks/create")
        await shim.begin()
        assert await shim.wait() == 3

    with ShimProcess.start(OURS, scratch, "/bin/sh", "-c", "exit 3") as shim:
        run(shim, begin)
        run(shim, go_on)


def test_a_lack_of_memory_is_told(scratch: Path) -> None:
    def limited(value: dict[str, Any]) -> None:
        value["linux"]["resources"] = {"memory": {"limit": 16 << 20, "swap": 16 << 20}}

    async def body(shim: ShimProcess) -> None:
        await shim.create()
        await shim.begin()
        assert await shim.wait() == 137
        await shim.event("/tasks/exit")
        topics = [topic for topic, _ in shim.events]
        assert "/tasks/oom" in topics[: topics.index("/tasks/exit")]

    arguments = ("/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1")
    with ShimProcess.start(OURS, scratch, *arguments, edit=limited) as shim:
        run(shim, body)


@pytest.fixture
def cgroup() -> Iterator[str]:
    with group_everywhere(f"{SESSION}-shim") as path:
        yield path


@pytest.mark.parametrize("kind", [OURS, STOCK])
def test_a_shim_joins_the_cgroup_of_its_options(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, cgroup: str, kind: str
) -> None:
    def grouped(self: ShimProcess) -> runc_pb2.Options:
        return runc_pb2.Options(root=str(self.base / "runc"), shim_cgroup=cgroup)

    monkeypatch.setattr(ShimProcess, "options", grouped)
    with ShimProcess.start(kind, scratch, "/bin/true") as shim:
        pid = shim.pid()
        descriptor = os.pidfd_open(pid)
        groups = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        assert sum(group.endswith(cgroup) for group in groups) >= 5
    assert select_readable(descriptor)
    os.close(descriptor)
