"""A spawner that is killed, idle or in the middle of a start, costs no client its call."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import pycontainerd.spawner.server  # noqa: F401 - it declares the points
from pycontainerd import faults
from tests.conftest import IMAGE
from tests.harness.daemon import OURS, Daemon
from tests.harness.spawners import spawners

POINTS = faults.points("spawner.")


@pytest.fixture
def points(scratch: Path) -> Path:
    """Where a file means that the next spawner kills itself at the point of that name."""
    directory = scratch / "points"
    directory.mkdir()
    return directory


@pytest.fixture
def daemon(scratch: Path, points: Path, busybox_archive: Path) -> Iterator[Daemon]:
    with Daemon.start(OURS, scratch / "d", environment={faults.VARIABLE: f"{points}:kill"}) as daemon:
        daemon.ctr("images", "import", busybox_archive)
        yield daemon


def only_spawner(daemon: Daemon) -> int:
    (pid,) = spawners(daemon.socket_dir)
    return pid


def test_a_run_after_the_spawner_was_killed_finds_another(daemon: Daemon) -> None:
    daemon.run("--rm", IMAGE, "c", "true")
    first = only_spawner(daemon)
    gone = os.pidfd_open(first)
    os.kill(first, signal.SIGKILL)
    assert select.select([gone], [], [], 60)[0]
    os.close(gone)
    assert daemon.run("--rm", IMAGE, "c", "echo", "hello").out == "hello\n"
    assert only_spawner(daemon) != first


def killed_spawner(daemon: Daemon) -> int:
    """Kills the spawner as soon as there is one: the daemon starts it, and nobody is told when."""
    until = time.monotonic() + 60
    while not (found := spawners(daemon.socket_dir)):
        assert time.monotonic() < until
        time.sleep(0.02)
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found[0]


def test_spawners_that_are_killed_are_replaced_before_they_are_needed(daemon: Daemon) -> None:
    """Most of these are killed while they warm up."""
    assert len({killed_spawner(daemon) for _ in range(6)}) > 1
    assert daemon.run("--rm", IMAGE, "c", "echo", "hello").out == "hello\n"


@pytest.mark.parametrize("point", POINTS)
def test_a_run_whose_spawner_is_killed_is_done_by_another(daemon: Daemon, points: Path, point: str) -> None:
    daemon.run("--rm", IMAGE, "c", "true")
    first = only_spawner(daemon)
    (points / point).touch()
    assert daemon.run("--rm", IMAGE, "c", "echo", "hello").out == "hello\n"
    assert os.listdir(points) == [f"{point}@{first}"]
    assert only_spawner(daemon) != first
    assert daemon.ctr("tasks", "ls", "-q").lines == daemon.ctr("containers", "ls", "-q").lines == []
