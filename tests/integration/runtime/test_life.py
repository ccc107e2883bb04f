"""The life of a container as users see it, with our shim and the stock one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.daemon import Daemon
from tests.integration.runtime.users import OUR_SHIM, STOCK_SHIM, User, wait_gone


@pytest.fixture(params=[OUR_SHIM, STOCK_SHIM], ids=["our shim", "stock shim"])
def user(daemon: Daemon, rootfs: Path, request: pytest.FixtureRequest) -> User:
    return User(daemon, rootfs, request.param)


def test_a_container_prints_and_tells_how_it_ended(user: User) -> None:
    done = user.run("c", "/bin/sh", "-c", "echo out; echo err >&2; exit 5", flags=("--rm",), check=False)
    assert (done.code, done.out, done.err) == (5, "out\n", "err\n")
    assert user.tasks() == {}
    assert not user.bundle("c").exists()


def test_a_detached_container_is_paused_resumed_entered_and_killed(user: User) -> None:
    user.detach("c")
    pid, status = user.tasks()["c"]
    assert status == "RUNNING"
    user.ctr("task", "pause", "c")
    assert user.tasks()["c"] == (pid, "PAUSED")
    user.ctr("task", "resume", "c")
    assert str(pid) in user.ctr("task", "ps", "c").out
    assert user.ctr("task", "exec", "--exec-id", "e", "c", "/bin/echo", "inside").out == "inside\n"
    assert user.ctr("task", "exec", "--exec-id", "e", "c", "/bin/sh", "-c", "exit 7", check=False).code == 7
    assert user.ctr("task", "metrics", "c").out.startswith("ID")
    user.ctr("task", "kill", "-s", "9", "c")
    with user.background("task", "attach", "c") as attached:
        assert wait_gone(attached) == 137
    user.ctr("containers", "rm", "c")
    assert user.tasks() == {}


def test_an_id_can_be_used_again_and_again(user: User) -> None:
    for number in range(5):
        assert user.run("c", "/bin/echo", str(number), flags=("--rm",)).out == f"{number}\n"


def test_shims_hang_below_init_and_containers_below_shims(user: User) -> None:
    user.detach("c")
    shim = user.shim("c")
    status = Path(f"/proc/{shim}/status").read_text()
    assert "\nPPid:\t1\n" in status
    command = Path(f"/proc/{shim}/cmdline").read_bytes().split(b"\0")
    assert command[0].endswith(b"containerd-shim-runc-v2")
    assert command[1:5] == [b"-namespace", user.daemon.namespace.encode(), b"-id", b"c"]


def test_a_runtime_that_is_not_installed_is_named(user: User) -> None:
    user.runtime = "io.containerd.nope.v2"
    done = user.run("c", "/bin/true", check=False)
    assert done.code == 1
    assert done.err.strip() == (
        'ctr: failed to start shim: failed to resolve runtime path: runtime "io.containerd.nope.v2" '
        'binary not installed "containerd-shim-nope-v2": file does not exist'
    )
