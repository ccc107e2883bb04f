"""Containers that share a shim, below each daemon with each shim: all four the same."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.daemon import OURS, STOCK, Daemon
from tests.harness.spawners import end_spawners
from tests.integration.runtime.conftest import remove_runc_root
from tests.integration.runtime.users import User
from tests.integration.test_shim_under_stock import Events, wait_ended


@pytest.fixture(
    params=[(daemon, shim) for daemon in (OURS, STOCK) for shim in (OURS, STOCK)], ids="{0[0]}-{0[1]}".format
)
def user(request: pytest.FixtureRequest, scratch: Path, rootfs: Path) -> Iterator[User]:
    """A user of a daemon, whose shims are of the one or the other make."""
    kind, shims = request.param
    with Daemon.start(kind, scratch / "d", shims=shims) as daemon:
        yield User(daemon, rootfs, runtime=str(shims.program("containerd-shim-runc-v2")))
        end_spawners(daemon.socket_dir)
    remove_runc_root(daemon)


def start(user: User, id_: str, annotation: str = "io.containerd.runc.v2.group=g") -> None:
    user.run(id_, "/bin/sleep", "1000", flags=("-d", "--null-io", "--annotation", annotation))


def end(user: User, id_: str) -> None:
    """Kills a task and deletes it with its container."""
    user.ctr("task", "rm", "-f", id_, check=False)  # ends with the status of the task
    user.ctr("containers", "rm", id_)


def test_a_group_has_one_shim_which_ends_with_its_last_container(user: User) -> None:
    start(user, "a")
    start(user, "b")
    start(user, "pod", "io.kubernetes.cri.sandbox-id=p")
    start(user, "in-pod", "io.kubernetes.cri.sandbox-id=p")
    start(user, "alone", "example=g")
    shims = {id_: user.shim(id_) for id_ in ("a", "b", "pod", "in-pod", "alone")}
    assert shims["a"] == shims["b"]
    assert shims["pod"] == shims["in-pod"]
    assert len(set(shims.values())) == 3
    for id_ in ("a", "b"):
        assert user.ctr("task", "exec", "--exec-id", "e", id_, "/bin/echo", id_).out == f"{id_}\n"
    end(user, "a")  # the shim was started for it
    assert user.tasks()["b"][1] == "RUNNING"
    start(user, "a")
    assert user.shim("a") == shims["b"]
    for id_ in ("b", "a", "pod", "in-pod", "alone"):
        end(user, id_)
    for shim in set(shims.values()):
        wait_ended(shim)
    assert user.tasks() == {}


def test_a_group_outlives_the_daemon_and_takes_new_containers(user: User) -> None:
    start(user, "a")
    start(user, "b")
    before, shim = user.tasks(), user.shim("a")
    user.daemon.kill()
    user.daemon.up()
    assert user.tasks() == before
    start(user, "c")
    assert user.shim("c") == shim
    end(user, "a")
    assert set(user.tasks()) == {"b", "c"}
    for id_ in ("b", "c"):
        end(user, id_)
    wait_ended(shim)


def test_the_end_of_a_grouped_shim_is_the_end_of_all_its_containers(user: User) -> None:
    start(user, "a")
    start(user, "b")
    inits = [pid for pid, _ in user.tasks().values()]
    with Events(user.daemon) as events:
        os.kill(user.shim("a"), signal.SIGKILL)
        events.until("/tasks/delete", count=2)
    for pid in inits:
        wait_ended(pid)
    exits = sorted(line.partition("{")[2] for line in events.lines if "/tasks/exit" in line)
    assert len(exits) == 2
    for id_, told in zip(("a", "b"), exits, strict=True):
        assert f'"container_id":"{id_}"' in told
        assert '"exit_status":137' in told
    assert user.tasks() == {}
    start(user, "d")  # in a new shim at the same place
    end(user, "d")
