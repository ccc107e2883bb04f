"""Stock containerd runs containers with our shim: its program is the first in the daemon's PATH."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.daemon import OURS, STOCK, Daemon, Kind
from tests.harness.spawners import end_spawners
from tests.integration.shim_process import make_rootfs


@pytest.fixture
def daemon(scratch: Path) -> Iterator[Daemon]:
    with Daemon.start(STOCK, scratch / "d", shims=OURS) as started:
        make_rootfs(started.base)
        yield started
        end_spawners(started.socket_dir)


def rootfs(daemon: Daemon) -> list[str]:
    return ["--rootfs", str(daemon.base / "rootfs")]


def tasks(daemon: Daemon) -> dict[str, tuple[int, str]]:
    """Pid and status of each task."""
    lines = [line.split() for line in daemon.ctr("tasks", "ls").lines[1:]]
    return {name: (int(pid), status) for name, pid, status in lines}


def shims(daemon: Daemon) -> list[int]:
    """The processes of shims of this daemon."""
    found = subprocess.run(
        ["pgrep", "-f", f"containerd-shim-runc-v2 -namespace {daemon.namespace} "],
        capture_output=True,
        text=True,
        check=False,
    )
    return [int(pid) for pid in found.stdout.split()]


def wait_ended(pid: int) -> None:
    """Returns when a process has ended, which it may have."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], 30)[0]
    finally:
        os.close(descriptor)


class Events:
    """What `ctr events` prints, line by line, until it is left."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.lines: list[str] = []
        self._news = threading.Condition()

    def __enter__(self) -> Events:
        program = str(STOCK.program("ctr"))
        self.process = subprocess.Popen([program, "events"], stdout=subprocess.PIPE, env=self.daemon.env(), text=True)
        assert self.process.stdout is not None
        # The subscription has no answer of its own: an event that comes is the sign that it stands.
        probe = 0
        while not select.select([self.process.stdout], [], [], 0.05)[0]:
            probe += 1
            self.daemon.ctr("namespaces", "create", f"probe{probe}-{self.daemon.namespace}")
        for number in range(1, probe + 1):
            self.daemon.ctr("namespaces", "rm", f"probe{number}-{self.daemon.namespace}")
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        return self

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line)
                self._news.notify_all()

    def until(self, text: str, count: int = 1) -> None:
        """Waits until *count* lines with *text* have come."""
        with self._news:
            assert self._news.wait_for(lambda: sum(text in line for line in self.lines) >= count, timeout=60)

    def __exit__(self, *exc: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.reader.join()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def topics(self) -> list[str]:
        return [match[0] for line in self.lines if (match := re.search(r"/tasks/\S+", line))]


def test_a_container_runs_prints_and_is_gone(daemon: Daemon) -> None:
    done = daemon.run("--rm", *rootfs(daemon), "c1", "/bin/echo", "hi")
    assert done.out == "hi\n"
    assert tasks(daemon) == {}
    assert not list((daemon.state / "io.containerd.runtime.v2.task" / daemon.namespace).iterdir())


@pytest.mark.parametrize("code", [0, 7, 255])
def test_the_exit_code_is_that_of_the_container(daemon: Daemon, code: int) -> None:
    done = daemon.run("--rm", *rootfs(daemon), "c1", "/bin/sh", "-c", f"exit {code}", check=False)
    assert done.code == code


def test_a_hundred_megabytes_come_through(daemon: Daemon) -> None:
    done = daemon.run("--rm", *rootfs(daemon), "c1", "/bin/sh", "-c", "seq 1 12000000 2>/dev/null")
    assert done.out.endswith("12000000\n")
    assert len(done.out) == sum(9 * 10 ** (digits - 1) * (digits + 1) for digits in range(1, 8)) + 2_000_001 * 9


def test_many_containers_that_end_at_once_lose_nothing(daemon: Daemon) -> None:
    for number in range(10):
        done = daemon.run("--rm", *rootfs(daemon), "c1", "/bin/sh", "-c", f"echo {number}; exit {number}", check=False)
        assert (done.out, done.code) == (f"{number}\n", number)


def test_exec_pause_resume_kill_and_remove(daemon: Daemon) -> None:
    daemon.run("-d", *rootfs(daemon), "c1", "/bin/sleep", "1000")
    pid, status = tasks(daemon)["c1"]
    assert (pid > 0, status) == (True, "RUNNING")
    done = daemon.ctr("tasks", "exec", "--exec-id", "e1", "c1", "/bin/sh", "-c", "echo inside; exit 3", check=False)
    assert (done.out, done.code) == ("inside\n", 3)
    assert [line.split()[0] for line in daemon.ctr("tasks", "ps", "c1").lines[1:]] == [str(pid)]
    daemon.ctr("tasks", "pause", "c1")
    assert tasks(daemon)["c1"] == (pid, "PAUSED")
    daemon.ctr("tasks", "resume", "c1")
    assert "memory.usage_in_bytes" in daemon.ctr("tasks", "metrics", "c1").out
    with Events(daemon) as events:
        daemon.ctr("tasks", "kill", "-s", "SIGKILL", "c1")
        while "/tasks/exit" not in events.topics():
            pass
    assert tasks(daemon)["c1"] == (pid, "STOPPED")
    daemon.ctr("tasks", "rm", "c1", check=False)
    daemon.ctr("containers", "rm", "c1")
    assert shims(daemon) == []


def test_events_come_in_the_order_of_the_original(scratch: Path) -> None:
    seen = {}
    for kind in (OURS, STOCK):
        with Daemon.start(STOCK, scratch / str(kind), shims=kind) as daemon:
            make_rootfs(daemon.base)
            with Events(daemon) as events:
                daemon.run("-d", *rootfs(daemon), "c1", "/bin/sleep", "1000")
                daemon.ctr("tasks", "exec", "--exec-id", "e1", "c1", "/bin/true")
                daemon.ctr("tasks", "pause", "c1")
                daemon.ctr("tasks", "resume", "c1")
                daemon.ctr("tasks", "rm", "-f", "c1", check=False)
                events.until("/tasks/exit", 2)
                if kind is OURS:  # a shim of the original may end before it has told the deletion
                    events.until("/tasks/delete")
            seen[kind] = events.topics()
            end_spawners(daemon.socket_dir)
    assert seen[OURS].pop() == "/tasks/delete"
    assert seen[OURS] == [topic for topic in seen[STOCK] if topic != "/tasks/delete"]


def test_a_container_outlives_the_daemon_and_is_found_again(daemon: Daemon) -> None:
    daemon.run("-d", *rootfs(daemon), "c1", "/bin/sleep", "1000")
    before = tasks(daemon)
    running = shims(daemon)
    daemon.kill()
    daemon.up()
    assert tasks(daemon) == before
    assert shims(daemon) == running
    assert daemon.ctr("tasks", "exec", "--exec-id", "e1", "c1", "/bin/echo", "again").out == "again\n"
    with Events(daemon) as events:
        daemon.ctr("tasks", "kill", "-s", "SIGTERM", "c1")
        daemon.ctr("tasks", "kill", "-s", "SIGKILL", "c1", check=False)
        while "/tasks/exit" not in events.topics():
            pass
    assert tasks(daemon)["c1"][1] == "STOPPED"


def test_the_end_of_a_shim_is_the_end_of_its_container(daemon: Daemon) -> None:
    daemon.run("-d", *rootfs(daemon), "c1", "/bin/sleep", "1000")
    pid, _ = tasks(daemon)["c1"]
    with Events(daemon) as events:
        os.kill(shims(daemon)[0], signal.SIGKILL)
        while "/tasks/delete" not in events.topics():
            pass
    wait_ended(pid)
    assert tasks(daemon) == {}
    exits = [line for line in events.lines if "/tasks/exit" in line]
    assert len(exits) == 1
    assert '"exit_status":137' in exits[0]


def test_output_goes_into_the_file_of_a_log_uri(daemon: Daemon) -> None:
    log = daemon.base / "out.log"
    daemon.run(
        "-d", "--log-uri", f"file://{log}", *rootfs(daemon), "c1", "/bin/sh", "-c", "echo out; echo err >&2; sleep 1000"
    )
    while log.stat().st_size < len("out\nerr\n"):
        pass
    assert log.read_text() == "out\nerr\n"


def test_a_terminal_is_a_terminal(daemon: Daemon) -> None:
    program = str(STOCK.program("ctr"))
    command = [
        program,
        "run",
        "--rm",
        "-t",
        "--fifo-dir",
        str(daemon.base / "fifo"),
        "--runc-root",
        str(daemon.base / "runc"),
    ]
    script = " ".join([*command, *rootfs(daemon), "c1", "/bin/sh", "-c", "'tty; stty size'"])
    done = subprocess.run(
        ["script", "-qec", script, "/dev/null"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=daemon.env(),
        check=False,
    )
    assert b"/dev/pts/0" in done.stdout


def test_several_containers_at_once_have_a_shim_each_whose_parent_is_init(daemon: Daemon) -> None:
    names = [f"c{number}" for number in range(4)]
    for name in names:
        daemon.run("-d", *rootfs(daemon), name, "/bin/sleep", "1000")
    found = shims(daemon)
    assert len(found) == len(names)
    for pid in found:
        assert Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1] == "1"
    inits = {pid for pid, _ in tasks(daemon).values()}
    children = {int(child) for pid in found for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}
    assert children == inits


def other(kind: Kind) -> Kind:
    return STOCK if kind is OURS else OURS


def test_a_stock_shim_cleans_up_after_ours_and_ours_after_a_stock_one(scratch: Path) -> None:
    """What a bundle has is the same for both: the `delete` of one understands what the other has left."""
    for kind in (OURS, STOCK):
        with Daemon.start(STOCK, scratch / str(kind), shims=kind) as daemon:
            make_rootfs(daemon.base)
            daemon.run("-d", *rootfs(daemon), "c1", "/bin/sleep", "1000")
            pid, _ = tasks(daemon)["c1"]
            bundle = daemon.state / "io.containerd.runtime.v2.task" / daemon.namespace / "c1"
            program = str(other(kind).program("containerd-shim-runc-v2"))
            descriptor = os.pidfd_open(pid)
            done = subprocess.run(
                [program, "-namespace", daemon.namespace, "-id", "c1", "-bundle", str(bundle), "delete"],
                cwd=bundle,
                env=daemon.env(),
                capture_output=True,
                check=False,
            )
            assert done.returncode == 0
            assert select.select([descriptor], [], [], 30)[0]
            os.close(descriptor)
            end_spawners(daemon.socket_dir)
