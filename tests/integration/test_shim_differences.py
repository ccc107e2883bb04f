"""The same calls to the stock shim and to ours: the same codes, the same texts, the same events."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from pycontainerd.api.containerd.task import v3_pb2 as task
from pycontainerd.api.containerd.types_pb2 import Mount
from pycontainerd.api.io.containerd.cgroups import v1_pb2
from tests.harness.differences import deliberate
from tests.integration.shim_process import OURS, SPEC_URL, STOCK, ShimProcess

Outcomes = list[tuple[str, ...]]
Scenario = Callable[[ShimProcess, "Recorder"], Awaitable[None]]


class Recorder:
    """What calls came to, with the parts that differ by nature made alike."""

    def __init__(self, shim: ShimProcess) -> None:
        self.shim = shim
        self.outcomes: Outcomes = []

    async def call(self, method: str, request: Any) -> None:
        code, text = await self.shim.outcome(method, request)
        self.outcomes.append((method, code, self.plain(text)))

    def events(self) -> Outcomes:
        return [(topic, self.plain(str(event))) for topic, event in self.shim.events]

    def plain(self, text: str) -> str:
        text = text.replace(str(self.shim.base), "BASE").replace(self.shim.namespace, "NS")
        text = re.sub(r"exited_at \{\s*seconds: \d+\s*(nanos: \d+\s*)?\}", "exited_at {NOW}", text)
        return re.sub(r"\bpid: \d+", "pid: N", text)

    async def state(self, exec_id: str = "") -> None:
        await self.call("state", task.StateRequest(id="c1", exec_id=exec_id))

    async def start(self, exec_id: str = "") -> None:
        await self.call("start", task.StartRequest(id="c1", exec_id=exec_id))

    async def delete(self, exec_id: str = "") -> None:
        await self.call("delete", task.DeleteRequest(id="c1", exec_id=exec_id))

    async def kill(self, signal: int, exec_id: str = "", *, everyone: bool = False) -> None:
        await self.call("kill", task.KillRequest(id="c1", exec_id=exec_id, signal=signal, all=everyone))

    async def wait(self, exec_id: str = "") -> None:
        await self.call("wait", task.WaitRequest(id="c1", exec_id=exec_id))

    async def pause(self) -> None:
        await self.call("pause", task.PauseRequest(id="c1"))

    async def resume(self) -> None:
        await self.call("resume", task.ResumeRequest(id="c1"))

    async def exec(self, exec_id: str, *arguments: str, **fields: Any) -> None:
        await self.call("exec", self.shim.exec_request(exec_id, *arguments, **fields))

    async def update(self, value: bytes) -> None:
        request = task.UpdateTaskRequest(id="c1")
        request.resources.type_url = f"{SPEC_URL}LinuxResources"
        request.resources.value = value
        await self.call("update", request)

    async def everything_else(self) -> None:
        """The calls that are the same in every state."""
        await self.call("resize_pty", task.ResizePtyRequest(id="c1", width=80, height=25))
        await self.call("close_io", task.CloseIORequest(id="c1", stdin=True))


async def unknown(shim: ShimProcess, record: Recorder) -> None:
    """Calls for a task that is not there, and for execs that are not."""
    for method, request in requests_for("c1", ""):
        await record.call(method, request)
    await shim.create()
    await shim.begin()
    for method, request in requests_for("c1", "nope"):
        if "exec_id" in request.DESCRIPTOR.fields_by_name and method != "exec":
            await record.call(method, request)
    await record.call("shutdown", task.ShutdownRequest(id="c1"))
    await record.state()


def requests_for(id_: str, exec_id: str) -> list[tuple[str, Any]]:
    return [
        ("state", task.StateRequest(id=id_, exec_id=exec_id)),
        ("start", task.StartRequest(id=id_, exec_id=exec_id)),
        ("delete", task.DeleteRequest(id=id_, exec_id=exec_id)),
        ("pids", task.PidsRequest(id=id_)),
        ("pause", task.PauseRequest(id=id_)),
        ("resume", task.ResumeRequest(id=id_)),
        ("kill", task.KillRequest(id=id_, exec_id=exec_id, signal=9)),
        ("resize_pty", task.ResizePtyRequest(id=id_, exec_id=exec_id)),
        ("wait", task.WaitRequest(id=id_, exec_id=exec_id)),
        ("stats", task.StatsRequest(id=id_)),
        ("checkpoint", task.CheckpointTaskRequest(id=id_, path="/nowhere")),
    ]


async def created(shim: ShimProcess, record: Recorder) -> None:
    """What a created task lets through."""
    await record.call("create", shim.create_request())
    await record.state()
    await record.pause()
    await record.resume()
    await record.everything_else()
    await record.call("checkpoint", task.CheckpointTaskRequest(id="c1", path="/nowhere"))
    await record.update(b"{}")
    await record.kill(0)
    await record.exec("e1", "/bin/true")
    await record.state("e1")
    await record.delete("e1")
    await shim.event("/tasks/exec-added")


async def running(shim: ShimProcess, record: Recorder) -> None:
    """What a running task refuses; pausing it and everything in that state; its end."""
    await shim.create()
    await record.start()
    await record.start()
    await record.delete()
    await record.resume()
    await record.kill(0)
    await record.kill(99)
    await record.state()
    await record.everything_else()
    await record.update(b'{"cpu":{"shares":512}}')
    await record.pause()
    await record.state()
    await record.pause()
    await record.start()
    await record.delete()
    await record.exec("e1", "/bin/true")
    await record.resume()
    await record.state()
    await record.kill(9)
    await record.wait()
    await record.wait()
    await record.state()
    await shim.event("/tasks/exit")


async def stopped(shim: ShimProcess, record: Recorder) -> None:
    """What a stopped task refuses, and deleting it."""
    await shim.create()
    await shim.begin()
    await shim.wait()
    await record.start()
    await record.pause()
    await record.resume()
    await record.everything_else()
    await record.update(b"{}")
    await record.exec("e1", "/bin/true")
    await record.kill(9)
    await record.kill(9, everyone=True)
    await record.call("pids", task.PidsRequest(id="c1"))
    await record.call("checkpoint", task.CheckpointTaskRequest(id="c1", path="/nowhere"))
    await record.state()
    await record.delete()
    await record.delete()
    await shim.event("/tasks/delete")


async def execs(shim: ShimProcess, record: Recorder) -> None:
    """The life of execs, and what each state of them refuses."""
    await shim.create()
    await shim.begin()
    await record.exec("e1", "/bin/sh", "-c", "exit 3")
    await record.exec("e1", "/bin/true")
    await record.state("e1")
    await record.kill(9, "e1")
    await record.start("e1")
    await record.wait("e1")
    await shim.event("/tasks/exit")  # the stock shim publishes after it has answered those who wait
    await record.wait("e1")
    await record.state("e1")
    await record.start("e1")
    await record.kill(9, "e1")
    await record.call("resize_pty", task.ResizePtyRequest(id="c1", exec_id="e1", width=80, height=25))
    await record.delete("e1")
    await record.delete("e1")
    await record.exec("e2", "/bin/sleep", "1000")
    await record.start("e2")
    await record.delete("e2")
    await record.pause()
    await record.state("e2")
    await record.resume()
    await record.kill(15, "e2", everyone=True)
    await record.wait("e2")
    await shim.event("/tasks/exit", 2)
    await record.kill(9, "e2")
    await record.delete("e2")
    await record.exec("e3", "/bin/true")
    await record.delete("e3")
    await shim.event("/tasks/exec-added", 3)


async def bad_execs(shim: ShimProcess, record: Recorder) -> None:
    """Execs that can't run, and what becomes of their waiters."""
    await shim.create()
    await shim.begin()
    await record.exec("e1", "/bin/nothing")
    code, text = await shim.outcome("start", task.StartRequest(id="c1", exec_id="e1"))
    record.outcomes.append(("start", code, text.partition(":")[0]))
    await record.wait("e1")
    await record.state("e1")
    await record.delete("e1")


async def init_takes_execs_along(shim: ShimProcess, record: Recorder) -> None:
    """Init ends while execs run: their exits come first."""
    await shim.create()
    await shim.begin()
    await record.exec("e1", "/bin/sleep", "1000")
    await record.start("e1")
    await record.kill(9)
    await record.wait()
    await record.wait("e1")
    await record.exec("e2", "/bin/true")
    await record.state("e1")
    await record.start("e1")
    await record.delete("e1")
    await shim.event("/tasks/exit", 2)


async def failing_create(shim: ShimProcess, record: Recorder) -> None:
    """runc refuses: its last error is the message, and nothing is left."""
    value = json.loads((shim.bundle / "config.json").read_text())
    value["process"]["args"] = ["/bin/nothing"]
    (shim.bundle / "config.json").write_text(json.dumps(value))
    await record.call("create", shim.create_request())
    await record.state()
    await record.delete()


def is_mounted(directory: Path) -> bool:
    """Whether there is a mount below *directory*."""
    return str(directory) in Path("/proc/self/mountinfo").read_text()


async def failing_mount(shim: ShimProcess, record: Recorder) -> None:
    """A root file system that can't be mounted: the kernel's reason, and nothing is left."""
    good = Mount(type="bind", source="/bin", options=["bind"])
    for bad in (
        Mount(type="bind", source="/nope", options=["rbind", "ro"]),
        Mount(type="what", source="x"),
        Mount(type="overlay", source="overlay", options=["lowerdir=/nope", "index=off"]),
        Mount(type="bind", source="/bin", target="nope", options=["bind"]),
    ):
        await record.call("create", shim.create_request(rootfs=[good, bad]))
        assert not is_mounted(shim.bundle)
    await record.state()


async def unknown_stdio(shim: ShimProcess, record: Recorder) -> None:
    """Schemes and paths that lead nowhere."""
    await record.call("create", shim.create_request(stdout="what:///nowhere"))
    await record.call("create", shim.create_request(stdout="binary:///nowhere"))
    await record.state()
    await shim.create()
    await shim.begin()
    for number, uri in enumerate(("what:///nowhere", "binary:///nowhere")):
        await record.exec(f"e{number}", "/bin/true", stdout=uri)
        await record.start(f"e{number}")
        await record.state(f"e{number}")
    await shim.event("/tasks/exec-added", 2)


async def broken_json(shim: ShimProcess, record: Recorder) -> None:
    """Values that are no JSON: refused, in words that are the parser's own."""
    await shim.create()
    await shim.begin()
    await record.update(b"nonsense")
    request = shim.exec_request("e1", "/bin/true")
    request.spec.value = b"nonsense"
    await record.call("exec", request)
    record.outcomes = [(method, code) for method, code, _ in record.outcomes]
    await record.state("e1")


SCENARIOS: list[tuple[Scenario, tuple[str, ...]]] = [
    (unknown, ("/bin/sleep", "1000")),
    (created, ("/bin/sleep", "1000")),
    (running, ("/bin/sleep", "1000")),
    (stopped, ("/bin/sh", "-c", "exit 7")),
    (execs, ("/bin/sleep", "1000")),
    (bad_execs, ("/bin/sleep", "1000")),
    (init_takes_execs_along, ("/bin/sleep", "1000")),
    (failing_create, ("/bin/sleep", "1000")),
    (failing_mount, ("/bin/sleep", "1000")),
    (unknown_stdio, ("/bin/sleep", "1000")),
    (broken_json, ("/bin/sleep", "1000")),
]


def played(
    kind: str, scratch: Path, scenario: Scenario, arguments: tuple[str, ...], *, own_pids: bool
) -> list[Outcomes]:
    """What came of *scenario* with the shim of *kind*: answers, then events."""
    with ShimProcess.start(kind, scratch, *arguments, own_pids=own_pids) as shim:
        record = Recorder(shim)

        async def body() -> None:
            await scenario(shim, record)

        shim.run(body)
        return [record.outcomes, record.events()]


@pytest.mark.parametrize("own_pids", [True, False], ids=["own pids", "pids of the host"])
@pytest.mark.parametrize(("scenario", "arguments"), SCENARIOS, ids=[scenario.__name__ for scenario, _ in SCENARIOS])
def test_both_shims_answer_alike(scratch: Path, scenario: Scenario, arguments: tuple[str, ...], own_pids: bool) -> None:
    ours = played(OURS, scratch, scenario, arguments, own_pids=own_pids)
    stock = played(STOCK, scratch, scenario, arguments, own_pids=own_pids)
    assert ours == stock


async def deleted_before_its_start(shim: ShimProcess, record: Recorder) -> None:
    await shim.create()
    await record.delete()
    await shim.event("/tasks/delete")


def test_deleting_a_created_task_tells_how_its_init_ended(scratch: Path) -> None:
    deliberate("created-end-told")
    ours, events = played(OURS, scratch, deleted_before_its_start, ("/bin/sleep", "1000"), own_pids=True)
    stock, _ = played(STOCK, scratch, deleted_before_its_start, ("/bin/sleep", "1000"), own_pids=True)
    assert ours == [("delete", "OK", "pid: N\nexit_status: 137\nexited_at {NOW}\n")]
    assert stock == [("delete", "OK", "pid: N\nexited_at {\n  seconds: -62135596800\n}\n")]
    assert [topic for topic, _ in events] == ["/tasks/create", "/tasks/exit", "/tasks/delete"]


async def created_twice(shim: ShimProcess, record: Recorder) -> None:
    await shim.create()
    await record.call("create", shim.create_request())
    await record.call("close_io", task.CloseIORequest(id="c1", exec_id="nope", stdin=True))


def test_kinds_that_the_original_forgets_are_told(scratch: Path) -> None:
    deliberate("shim-error-kinds")
    ours, _ = played(OURS, scratch, created_twice, ("/bin/sleep", "1000"), own_pids=True)
    stock, _ = played(STOCK, scratch, created_twice, ("/bin/sleep", "1000"), own_pids=True)
    assert [code for _, code, _ in ours] == ["code 6", "code 5"]
    assert [code for _, code, _ in stock] == ["code 2", "code 2"]


async def waited_for_in_vain(shim: ShimProcess, record: Recorder) -> None:
    await shim.create()
    await shim.begin()
    await record.exec("e1", "/bin/true", stdout="what:///nowhere")
    await record.start("e1")
    request = task.WaitRequest(id="c1", exec_id="e1")
    code, _ = await shim.outcome("wait", request, timeout_s=WAIT_S)
    record.outcomes.append(("wait", code, ""))


WAIT_S = 1.0


def test_nobody_waits_for_an_exec_whose_streams_could_not_be_opened(scratch: Path) -> None:
    deliberate("failed-exec-not-waited-for")
    ours, _ = played(OURS, scratch, waited_for_in_vain, ("/bin/sleep", "1000"), own_pids=True)
    stock, _ = played(STOCK, scratch, waited_for_in_vain, ("/bin/sleep", "1000"), own_pids=True)
    assert ours[:2] == stock[:2]
    assert (ours[2][1], stock[2][1]) == ("OK", "code 4")


def test_both_shims_measure_the_same(scratch: Path) -> None:
    """The same fields of the same message, however deep; the values are another moment's."""
    ours, stock = (measured(kind, scratch) for kind in (OURS, STOCK))
    assert ours == stock


def measured(kind: str, scratch: Path) -> set[str]:
    found: set[str] = set()
    with ShimProcess.start(kind, scratch, "/bin/sleep", "1000") as shim:

        async def body() -> None:
            await shim.create()
            await shim.begin()
            stats = (await shim.call("stats", task.StatsRequest(id="c1"))).stats
            assert stats.type_url == "io.containerd.cgroups.v1.Metrics"
            found.update(fields_of(v1_pb2.Metrics.FromString(stats.value)))

        shim.run(body)
    return {path for path in found if not VARIABLE.search(path)}


# What is 0 is absent: these are 0 or not as it happens.
VARIABLE = re.compile(
    r"blkio|periods|throttl|cpu.usage|pg_|fault|dirty|writeback|cache|rss|mapped|active|kernel|max|usage"
)


def fields_of(message: Message, prefix: str = "") -> Iterator[str]:
    for field, value in message.ListFields():
        path = f"{prefix}.{field.name}"
        yield path
        if isinstance(value, Message):
            yield from fields_of(value, path)
