"""kill -9 of a daemon in the middle of `ctr run`s: what users see then, and after the next start.

Runs of one container each, and what the shim and the daemon do about it, are in `runtime/test_daemon_killed.py` and
`tasks/test_restart.py` (also that an exit which nobody saw is told once); here several clients of both programs are at
it at once.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.daemon import OURS, STOCK, Daemon, Kind
from tests.integration.runtime.users import OUR_SHIM, STOCK_SHIM, User, wait_gone
from tests.integration.tasks.house import Place

QUIET = {"CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS": "1"}
PROGRAMS = {"s1": STOCK, "o1": OURS, "s2": STOCK, "o2": OURS}


@pytest.fixture(scope="module")
def rootfs(session_base: Path) -> Path:
    """A root file system of static busybox."""
    return Place(session_base / "acceptance-busybox", "unused").rootfs()


@contextlib.contextmanager
def daemon_of(kind: Kind, base: Path, *, shims: Kind) -> Iterator[Daemon]:
    with Daemon.start(kind, base, shims=shims, environment=QUIET) as daemon:
        yield daemon
    # ctr gives a runtime that is named by its path no options, so that runc's state is at its default place.
    default = Path("/run/containerd/runc", daemon.namespace)
    if default.exists():
        default.rmdir()


@pytest.fixture(params=[OUR_SHIM, STOCK_SHIM], ids=["our shim", "stock shim"])
def user(scratch: Path, rootfs: Path, request: pytest.FixtureRequest) -> Iterator[User]:
    with daemon_of(OURS, scratch / "d", shims=OURS) as daemon:
        yield User(daemon, rootfs, request.param)


def ended(pid: int, number: signal.Signals) -> None:
    """Sends a signal to the process of a container and returns when it has ended."""
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, number)
        assert select.select([descriptor], [], [], 60)[0]
    finally:
        os.close(descriptor)


def attached_run(user: User, id_: str, script: str) -> tuple[str, ...]:
    """The words of a `ctr run` that stays with its container, a shell that says when it is there."""
    base = user.daemon.base
    where = ("--fifo-dir", str(base / "fifo"), "--runc-root", str(base / "runc"), "--runtime", user.runtime)
    return ("run", *where, "--rootfs", str(user.rootfs), id_, "/bin/sh", "-c", f"echo here; {script}")


def parents() -> dict[int, int]:
    """The parent of each process of the machine."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            found[int(entry.name)] = int(
                re.findall(r"^PPid:\s+(\d+)$", (entry / "status").read_text(), re.MULTILINE)[0]
            )
    return found


def commands_of(session_of: Daemon) -> dict[int, str]:
    """The command lines that name the base of a daemon, by pid."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(session_of.base) in command:
                found[int(entry.name)] = command
    return found


def test_runs_of_both_programs_outlive_the_daemon(user: User) -> None:
    """Four `ctr run`s stay with their containers when the daemon is killed; the next daemon serves all of them."""
    with contextlib.ExitStack() as stack:
        for id_, program in PROGRAMS.items():
            words = attached_run(user, id_, "trap 'exit 42' TERM; while :; do /bin/sleep 0.1; done")
            process = stack.enter_context(user.background(*words, by=program))
            assert process.stdout is not None
            assert process.stdout.readline() == "here\n"
        before = user.tasks()
        assert set(before) == set(PROGRAMS)
        user.daemon.kill()
    assert all(Path(f"/proc/{pid}").exists() for pid, _ in before.values())
    ended(before["s2"][0], signal.SIGTERM)
    ended(before["o2"][0], signal.SIGKILL)
    user.daemon.up()
    pids = {id_: pid for id_, (pid, _) in before.items()}
    assert user.tasks() == {
        "s1": (pids["s1"], "RUNNING"),
        "o1": (pids["o1"], "RUNNING"),
        "s2": (pids["s2"], "STOPPED"),
        "o2": (pids["o2"], "STOPPED"),
    }
    for id_, program in PROGRAMS.items():
        if id_.endswith("1"):
            done = user.daemon.ctr("task", "exec", "--exec-id", "e", id_, "/bin/echo", "inside", by=program)
            assert done.out == "inside\n"
            with user.background("task", "attach", id_, by=program) as attached:
                user.daemon.ctr("task", "kill", "-s", "TERM", id_, by=program)
                assert wait_gone(attached) == 42
        else:
            with user.background("task", "attach", id_, by=program) as attached:
                assert wait_gone(attached) == {"s2": 42, "o2": 137}[id_]
        user.daemon.ctr("containers", "rm", id_, by=program)
    assert user.tasks() == {}
    assert list(user.daemon.state.glob(f"io.containerd.runtime.v2.task/{user.daemon.namespace}/*")) == []


def test_runs_that_the_kill_interrupts_leave_nothing_half(user: User) -> None:
    """Whatever a run had reached, its container is listed, can be removed, and its name is free again."""
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(user.background(*attached_run(user, id_, "exec /bin/sleep 1000"), by=program))
            for id_, program in PROGRAMS.items()
        ]
        # The first that is there tells; the others are anywhere between their first request and their start.
        assert select.select([process.stdout for process in started if process.stdout], [], [], 60)[0]
        user.daemon.kill()
        for process in started:
            process.kill()
    user.daemon.up()
    tasks = user.tasks()
    assert tasks
    assert {status for _, status in tasks.values()} <= {"RUNNING", "CREATED"}
    for id_ in tasks:
        user.ctr("task", "rm", "-f", id_)
    for id_ in user.ctr("containers", "ls", "-q").lines:
        user.ctr("containers", "rm", id_)
    for id_, program in PROGRAMS.items():
        words = attached_run(user, id_, "exit 3")
        assert user.daemon.ctr(words[0], "--rm", *words[1:], by=program, check=False).code == 3
    assert user.tasks() == {}


@pytest.mark.parametrize(
    ("kind", "runtime", "shims"),
    [(OURS, OUR_SHIM, OURS), (OURS, STOCK_SHIM, OURS), (STOCK, OUR_SHIM, OURS)],
    ids=["ours with our shim", "ours with the stock shim", "stock with our shim"],
)
def test_the_process_tree_is_that_of_stock(scratch: Path, rootfs: Path, kind: Kind, runtime: str, shims: Kind) -> None:
    """Shims below init, containers below their shims, no runc; `pidof` finds daemons and nothing else of ours."""
    with daemon_of(kind, scratch / "d", shims=shims) as daemon:
        user = User(daemon, rootfs, runtime)
        for id_ in ("one", "two"):
            user.detach(id_)
        tree = parents()
        for id_, (pid, status) in user.tasks().items():
            assert status == "RUNNING"
            assert tree[tree[pid]] == 1
            shim = Path(f"/proc/{tree[pid]}/cmdline").read_bytes().split(b"\0")
            assert shim[0].endswith(b"containerd-shim-runc-v2")
            assert shim[shim.index(b"-id") + 1] == id_.encode()
        assert [command for command in commands_of(daemon).values() if "runc " in command] == []
        found = subprocess.run(["pidof", "containerd"], capture_output=True, text=True, check=True).stdout.split()
        assert str(daemon.pid) in found
        named = {Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0] for pid in found if alive(pid)}
        assert {os.path.basename(name) for name in named} <= {b"containerd", b"python3"}
        daemon.kill()
        daemon.up()
        if kind is OURS or runtime == OUR_SHIM:
            assert set(user.tasks()) == {"one", "two"}
        assert user.ctr("task", "exec", "--exec-id", "e", "one", "/bin/echo", "inside").out == "inside\n"
        for id_ in ("one", "two"):
            with user.background("task", "attach", id_) as attached:
                user.ctr("task", "kill", "-s", "9", id_)
                assert wait_gone(attached) == 137
            user.ctr("containers", "rm", id_)


def alive(pid: str) -> bool:
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False
