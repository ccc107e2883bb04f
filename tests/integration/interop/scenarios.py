"""What is done at every desk, in this order."""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from google.protobuf.any_pb2 import Any

from pycontainerd.api.containerd.services.tasks import v1_pb2 as tasks_pb2
from tests.conftest import IMAGE
from tests.harness.waiting import until
from tests.integration.interop.desk import Desk

TASKS: Final = tasks_pb2.DESCRIPTOR.services_by_name["Tasks"]
TASKS_DIRECTORY: Final = "io.containerd.runtime.v2.task"
TERM_HANDLED: Final = "trap 'echo bye; exit {code}' TERM; : >/ready; while :; do sleep 0.05; done"
SIZED: Final = "until [ '24 80' = \"$(stty size 2>/dev/null)\" ]; do :; done"
"""A process with a terminal stays until it has its size: the original complains if it is too late with it."""
LIMIT: Final = 64 << 20


def an_image_is_unpacked(desk: Desk) -> None:
    desk.type("images", "ls", "-q")
    desk.type("snapshots", "ls")
    desk.type("images", "label", IMAGE, "a=b")


def a_run_prints_and_tells_its_code(desk: Desk) -> None:
    desk.run("--rm", IMAGE, "c", "sh", "-c", "echo out; echo err >&2; exit 5")
    desk.run("--rm", IMAGE, "c", "true")
    desk.run("--rm", "--env", "A=B", "--cwd", "/tmp", "--user", "1000", IMAGE, "c", "sh", "-c", "echo $A; pwd; id -u")
    desk.run("--rm", IMAGE, "c", "sh", "-c", "kill -9 $$")
    desk.run("--rm", IMAGE, "c", "head", "-n1", stdin=b"typed\n")
    desk.run("--rm", "--null-io", IMAGE, "c", "sh", "-c", "echo unseen; exit 3")


def what_is_wrong_is_said(desk: Desk) -> None:
    desk.run("--rm", "example.local/nope:latest", "c", "true")
    desk.run("--rm", IMAGE, "c", "nope")
    desk.run("--rm", "--cwd", "/bin/sh", IMAGE, "c", "true")
    desk.run("--rm", "--runtime", "io.containerd.nope.v2", IMAGE, "c", "true")
    desk.type("tasks", "kill", "nope")
    desk.type("tasks", "rm", "nope")
    desk.type("containers", "info", "nope")
    desk.ask("snapshots", "rm", "c")  # the original leaves it when a run fails
    desk.type("containers", "ls")


def a_container_lives_in_the_background(desk: Desk) -> None:
    desk.run("-d", "--null-io", "--label", "a=b", IMAGE, "c", "sleep", "1000")
    desk.type("tasks", "ls")
    desk.type("containers", "ls")
    labels = desk.ask("containers", "label", "c", "x=y").out.strip().split(",")
    desk.note("labels", ",".join(sorted(labels)))  # the original prints them in any order
    desk.type("containers", "ls", "labels.x==y")
    rows = desk.ask("tasks", "ps", "c").lines
    desk.note("ps", f"{rows[0].split()} and {[line.split()[0] == str(desk.pid('c')) for line in rows[1:]]}")
    rows = desk.ask("tasks", "metrics", "c").lines
    desk.note("metrics", str([line.split()[0] for line in rows if line]))
    desk.run("-d", "--null-io", IMAGE, "c", "true")
    desk.type("containers", "rm", "c")
    desk.type("tasks", "rm", "c")


def processes_are_executed_beside_it(desk: Desk) -> None:
    desk.execute("--exec-id", "e1", "c", "echo", "inside")
    desk.execute("--exec-id", "e2", "c", "sh", "-c", "echo err >&2; exit 7")
    desk.execute("--exec-id", "e3", "c", "nope")
    desk.execute("--exec-id", "e4", "--user", "1000", "--cwd", "/tmp", "c", "sh", "-c", "id -u; pwd")
    terminal = desk.executing("-t", "--exec-id", "e5", "c", "sh", "-c", f"{SIZED}; tty; exit 4")
    desk.on_terminal("exec on a terminal", terminal)
    desk.execute("--exec-id", "e6", "nope", "true")


def it_is_paused_and_resumed(desk: Desk) -> None:
    desk.type("tasks", "pause", "c")
    desk.type("tasks", "ls")
    desk.type("tasks", "pause", "c")
    desk.execute("--exec-id", "e7", "c", "true")
    desk.type("tasks", "resume", "c")
    desk.type("tasks", "resume", "c")
    desk.type("tasks", "ls")


def its_resources_are_updated(desk: Desk) -> None:
    request = tasks_pb2.UpdateTaskRequest(container_id="c")
    kind = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"
    request.resources.CopyFrom(Any(type_url=kind, value=json.dumps({"memory": {"limit": LIMIT}}).encode()))
    desk.call(TASKS, "update", request)
    group = Path("/sys/fs/cgroup")
    one = group / "memory" / desk.namespace / "c" / "memory.limit_in_bytes"
    two = group / desk.namespace / "c" / "memory.max"
    desk.note("the limit", (one if one.exists() else two).read_text())


def it_is_killed_and_removed(desk: Desk) -> None:
    desk.type("tasks", "kill", "-s", "KILL", "c")
    desk.attach("c")
    desk.type("tasks", "ls")
    desk.type("tasks", "rm", "c")
    desk.type("containers", "rm", "c")
    desk.type("containers", "ls")


def it_is_seen_by_who_attaches(desk: Desk) -> None:
    """Its output waits for a reader, also what it prints at its end."""
    for id_, signals in (("c", ["TERM"]), ("d", [])):
        desk.run("-d", IMAGE, id_, "sh", "-c", TERM_HANDLED.format(code=42))
        pid = desk.pid(id_)
        _until_handled(pid)
        if not signals:
            _end(pid, signal.SIGTERM)
        desk.attach(id_, *signals)
        desk.type("containers", "rm", id_)


def a_container_has_a_terminal(desk: Desk) -> None:
    desk.on_terminal(
        "run on a terminal", desk.running("--rm", "-t", IMAGE, "c", "sh", "-c", f"{SIZED}; tty; stty size; exit 6")
    )


def namespaces_are_apart(desk: Desk) -> None:
    other = f"{desk.namespace}-other"
    desk.type("namespaces", "create", other, "a=b")
    desk.detach("c")
    desk.note("there", desk.daemon.ctr("-n", other, "containers", "ls", by=desk.combination.ctr).out)
    listed = desk.ask("namespaces", "ls").lines
    desk.note("namespaces", str([line.split() for line in listed if line.startswith(other)]))
    desk.type("namespaces", "rm", other)
    desk.type("namespaces", "rm", desk.namespace)
    desk.type("tasks", "rm", "-f", "c")
    desk.type("containers", "rm", "c")


def a_task_outlives_the_daemon(desk: Desk) -> None:
    desk.run("-d", IMAGE, "c", "sh", "-c", TERM_HANDLED.format(code=43))
    pid = desk.pid("c")
    _until_handled(pid)
    desk.daemon.kill()
    desk.daemon.up()
    desk.type("tasks", "ls")
    desk.note("the same", str(desk.pid("c") == pid))
    desk.execute("--exec-id", "e", "c", "echo", "inside")
    desk.attach("c", "TERM")
    desk.type("containers", "rm", "c")


def a_task_ends_while_there_is_no_daemon(desk: Desk) -> None:
    desk.detach("c", "sh", "-c", TERM_HANDLED.format(code=44))
    pid = desk.pid("c")
    _until_handled(pid)
    desk.daemon.kill()
    _end(pid, signal.SIGTERM)
    desk.daemon.up()
    desk.type("tasks", "ls")
    if desk.ask("tasks", "ls", "-q").out:
        desk.attach("c")
    desk.type("containers", "rm", "c")


def a_killed_shim_takes_its_task_along(desk: Desk) -> None:
    desk.detach("c")
    status = Path(f"/proc/{desk.pid('c')}/status").read_text()
    shim = int(next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:")))
    with desk.beside("tasks", "attach", "c") as attached:
        _end(shim, signal.SIGKILL)
        attached.wait(60)
    bundle = desk.daemon.state / TASKS_DIRECTORY / desk.namespace / "c"
    until(lambda: not bundle.exists(), "the daemon has cleaned up")
    desk.type("containers", "rm", "c")


Scenario = Callable[[Desk], None]

SCENARIOS: Final[tuple[Scenario, ...]] = (
    an_image_is_unpacked,
    a_run_prints_and_tells_its_code,
    what_is_wrong_is_said,
    a_container_lives_in_the_background,
    processes_are_executed_beside_it,
    it_is_paused_and_resumed,
    its_resources_are_updated,
    it_is_killed_and_removed,
    it_is_seen_by_who_attaches,
    a_container_has_a_terminal,
    namespaces_are_apart,
)
"""With one stream of events; the containers of each end before the next, but `c` of the background ones."""

RESTARTS: Final[tuple[Scenario, ...]] = (
    a_task_outlives_the_daemon,
    a_task_ends_while_there_is_no_daemon,
    a_killed_shim_takes_its_task_along,
)
"""They stop the daemon: whoever else is at it, is not."""


def _until_handled(pid: int) -> None:
    """Returns when a shell handles SIGTERM: no event tells it, so it makes a file."""
    until(Path(f"/proc/{pid}/root/ready").exists, "the shell handles signals")


def _end(pid: int, number: signal.Signals) -> None:
    """Sends a process a signal, and returns when it has ended."""
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, number)
        assert select.select([descriptor], [], [], 60)[0]
    finally:
        os.close(descriptor)


def leftovers(desk: Desk) -> list[str]:
    """What is left of a namespace when all its containers were removed."""
    base = desk.daemon.base
    places = {
        "bundle": desk.daemon.state / TASKS_DIRECTORY / desk.namespace,
        "work": desk.daemon.root / TASKS_DIRECTORY / desk.namespace,
        "fifo": base / "fifo",
        "runc": Path("/run/containerd/runc") / desk.namespace,
    }
    left = [f"{kind} {path.name}" for kind, place in places.items() if place.is_dir() for path in place.iterdir()]
    socket = hashlib.sha256(f"{desk.daemon.address}/{desk.namespace}/c".encode()).hexdigest()
    left += ["socket"] if (desk.daemon.socket_dir / socket).exists() else []
    left += [f"mount {point}" for point in _mounts(base)]
    left += [f"cgroup {path.name}" for path in Path("/sys/fs/cgroup").glob(f"*/{desk.namespace}/*/")]
    left += [f"container {id_}" for id_ in desk.ask("containers", "ls", "-q").lines]
    left += [f"snapshot {line.split()[0]}" for line in desk.ask("snapshots", "ls").lines[1:] if "Active" in line]
    until(lambda: not _shims(desk.namespace), "the last shim has ended, which it does after its answer")
    return [desk.normal(line) for line in left]


def _shims(namespace: str) -> list[str]:
    """The pids of the shims of a namespace."""
    found = subprocess.run(
        ["pgrep", "-f", "--", f"-namespace {namespace} "], capture_output=True, check=False, text=True
    )
    assert found.returncode in (0, 1), found.stderr
    return found.stdout.split()


def _mounts(base: Path) -> list[str]:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if point.startswith(f"{base}/")]
