"""kill -9 of the daemon: containers go on, and what happened meanwhile is there and told."""

from __future__ import annotations

import os
import select
import signal
from pathlib import Path

import pytest

from tests.harness.daemon import Daemon
from tests.integration.runtime.users import OUR_SHIM, STOCK_SHIM, User, wait_gone


@pytest.fixture(params=[OUR_SHIM, STOCK_SHIM], ids=["our shim", "stock shim"])
def user(daemon: Daemon, rootfs: Path, request: pytest.FixtureRequest) -> User:
    return User(daemon, rootfs, request.param)


def kill_and_wait(pid: int) -> None:
    """kill -9 of a process that is not ours; returns when it is gone."""
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        assert select.select([descriptor], [], [], 30)[0]
    finally:
        os.close(descriptor)


def sockets(user: User) -> list[str]:
    """The names of sockets of shims."""
    return [path.name for path in user.daemon.socket_dir.iterdir() if not path.name.startswith("spawner-")]


def test_containers_go_on_and_are_found_again(user: User) -> None:
    for id_ in ("one", "two"):
        user.detach(id_)
    before = user.tasks()
    user.daemon.kill()
    assert all(Path(f"/proc/{pid}").exists() for pid, _ in before.values())
    user.daemon.up()
    assert user.tasks() == before
    assert user.ctr("task", "exec", "--exec-id", "e", "one", "/bin/echo", "inside").out == "inside\n"
    with user.background("task", "attach", "two") as attached:
        user.ctr("task", "kill", "-s", "9", "two")
        assert wait_gone(attached) == 137
    user.ctr("task", "kill", "-s", "9", "one")
    user.ctr("task", "rm", "-f", "one")
    assert user.tasks() == {}


def test_a_container_that_ended_meanwhile_is_there_with_its_true_status(user: User) -> None:
    user.detach("c", "/bin/sh", "-c", "trap 'exit 42' TERM; while true; do /bin/sleep 0.1; done")
    pid, _ = user.tasks()["c"]
    user.daemon.kill()
    descriptor = os.pidfd_open(pid)
    signal.pidfd_send_signal(descriptor, signal.SIGTERM)
    assert select.select([descriptor], [], [], 30)[0]
    os.close(descriptor)
    user.daemon.up()
    assert user.tasks()["c"] == (pid, "STOPPED")
    with user.background("task", "attach", "c") as attached:
        assert wait_gone(attached) == 42
    user.ctr("containers", "rm", "c")


def test_a_shim_that_is_killed_is_cleaned_up_and_told(user: User) -> None:
    user.detach("c")
    pid, _ = user.tasks()["c"]
    with user.events() as events:
        kill_and_wait(user.shim("c"))
        exited, deleted = events.until("/tasks/delete", container_id="c")
    assert exited.topic == "/tasks/exit"
    assert (exited.payload["pid"], exited.payload["exit_status"]) == (pid, 137)
    assert (deleted.payload["pid"], deleted.payload["exit_status"]) == (pid, 137)
    assert user.tasks() == {}
    assert not user.bundle("c").exists()
    assert sockets(user) == []
    user.ctr("containers", "rm", "c")


def test_a_shim_that_died_with_the_daemon_is_cleaned_up(user: User) -> None:
    user.detach("c")
    shim = user.shim("c")
    user.daemon.kill()
    kill_and_wait(shim)
    user.daemon.up()
    assert user.tasks() == {}
    assert not user.bundle("c").exists()
    assert sockets(user) == []
    user.ctr("containers", "rm", "c")


def test_a_stop_leaves_containers_running(user: User) -> None:
    user.detach("c")
    before = user.tasks()
    assert user.daemon.stop() == 0
    user.daemon.up()
    assert user.tasks() == before
