"""kill -9 of the daemon at each named point of a task's making and removal: nothing stays that nobody can remove."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import pycontainerd.runtime.bundle
import pycontainerd.runtime.manager
import pycontainerd.tasks.store  # noqa: F401 - they declare the points
from pycontainerd import faults
from tests.harness.daemon import OURS, READY_S, Daemon
from tests.integration.runtime.users import OUR_SHIM, STOCK_SHIM, User

QUIET = {"CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS": "1"}
POINTS = [*faults.points("runtime."), *faults.points("tasks.")]


@pytest.fixture(params=[OUR_SHIM, STOCK_SHIM], ids=["our shim", "stock shim"])
def runtime(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=POINTS)
def user(scratch: Path, rootfs: Path, runtime: str, request: pytest.FixtureRequest) -> Iterator[User]:
    """A user of a daemon that kills itself at a point."""
    environment = QUIET | {faults.VARIABLE: f"{request.param}:kill"}
    with Daemon.start(OURS, scratch / "d", environment=environment) as daemon:
        yield User(daemon, rootfs, runtime)
    default = Path("/run/containerd/runc", daemon.namespace)
    if default.exists():
        default.rmdir()


def shims_that_stay(user: User) -> list[str]:
    """The titles of this test's shims that have not ended after a while; one that was told to may be on its way."""
    stay = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            title = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if f"-namespace {user.daemon.namespace} " in title and not has_ended(int(directory.name)):
                stay.append(title)
        except OSError:
            continue
    return stay


def has_ended(pid: int) -> bool:
    descriptor = os.pidfd_open(pid)
    try:
        return bool(select.select([descriptor], [], [], READY_S)[0])
    finally:
        os.close(descriptor)


def test_after_a_kill_at_any_point_a_task_is_whole_or_gone(user: User) -> None:
    daemon = user.daemon
    assert daemon.process is not None
    # Whatever of these it doesn't live to see, it is killed on the way.
    user.run("c", "/bin/sleep", "1000", flags=("-d", "--null-io"), check=False)
    user.ctr("task", "rm", "-f", "c", check=False)
    assert daemon.process.wait(READY_S) == -signal.SIGKILL
    daemon.environment = QUIET
    daemon.up()
    for id_, (pid, status) in user.tasks().items():
        assert status in ("CREATED", "RUNNING", "STOPPED")
        assert status == "STOPPED" or Path(f"/proc/{pid}").exists()
        user.ctr("task", "rm", "-f", id_)
    assert user.tasks() == {}
    if "c" in user.ctr("containers", "ls", "-q").lines:
        user.ctr("containers", "rm", "c")
    bundles = user.bundle("c").parent
    assert not bundles.exists() or list(bundles.iterdir()) == []
    assert shims_that_stay(user) == []
    assert user.run("c", "/bin/echo", "again", flags=("--rm",)).out == "again\n"
