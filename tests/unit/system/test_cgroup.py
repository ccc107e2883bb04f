"""Control groups of this machine, and of others as their files look."""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycontainerd.system import cgroup
from tests.harness.machine import SESSION

MOUNTINFO = """\
30 25 0:26 / /sys/fs/cgroup/unified rw shared:5 - cgroup2 cgroup2 rw
31 25 0:27 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 25 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
"""


def test_hierarchies_are_found_by_controller(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTINFO)
    found = cgroup.hierarchies(str(tmp_path / "mountinfo"))
    assert found[""].path("/a/b") == "/sys/fs/cgroup/unified/a/b"
    assert found["memory"].path("/docker/abc/x") == "/sys/fs/cgroup/memory/x"
    assert found["cpuacct"].path("/") == "/sys/fs/cgroup/cpu,cpuacct"


def test_the_group_of_this_process_holds_it() -> None:
    group = cgroup.Cgroup.of_process("self")
    assert group.unified == Path("/sys/fs/cgroup/cgroup.controllers").exists()
    assert group.exists()
    for directory in group.directories.values():
        assert str(os.getpid()) in Path(directory, "cgroup.procs").read_text().split()


@pytest.fixture
def group() -> Iterator[cgroup.Cgroup]:
    group = cgroup.Cgroup.named(f"/{SESSION}-cgroup/child")
    yield group
    for directory in group.directories.values():
        for place in (directory, os.path.dirname(directory)):
            if os.path.isdir(place):
                os.rmdir(place)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits to be ended."""
    process = subprocess.Popen(["/bin/sleep", "1000"])
    yield process
    end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def test_a_group_is_made_joined_and_removed(group: cgroup.Cgroup, process: subprocess.Popen[bytes]) -> None:
    assert not group.exists()
    if group.unified:
        # The new groups get the files of cpusets, which the root has not.
        cgroup.enable_controllers(cgroup.ROOT, ["cpuset"])
    group.join(process.pid)
    assert set(cgroup.groups_of(process.pid).values()) >= {f"/{SESSION}-cgroup/child"}
    end(process)
    group.remove()
    assert not group.exists()


def test_the_end_of_a_group_is_told_to_who_waits_for_oom(
    group: cgroup.Cgroup, process: subprocess.Popen[bytes]
) -> None:
    directory = group.directory("memory")
    assert directory is not None
    os.mkdir(os.path.dirname(directory))
    if group.unified:
        cgroup.enable_controllers(os.path.dirname(directory), ["memory"])
    group.join(process.pid)
    watch = cgroup.event_inotify(directory) if group.unified else cgroup.oom_eventfd(directory)
    try:
        assert select.select([watch], [], [], 0)[0] == []
        # Version 2 tells that the last process has gone, version 1 that the group has.
        end(process)
        if not group.unified:
            os.rmdir(directory)
        assert select.select([watch], [], [], 60)[0] == [watch]
    finally:
        os.close(watch)


def test_changes_of_files_are_read_from_inotify(tmp_path: Path) -> None:
    for name in ("memory.events", "cgroup.events"):
        (tmp_path / name).write_text("oom_kill 0\n")
    watch = cgroup.event_inotify(str(tmp_path))
    try:
        assert cgroup.read_inotify(watch) == []
        with (tmp_path / "memory.events").open("a") as file:
            file.write("more 1\n")
        assert cgroup.read_inotify(watch) == [(1, cgroup.IN_MODIFY)]
        (tmp_path / "cgroup.events").unlink()
        assert (2, cgroup.IN_IGNORED) in cgroup.read_inotify(watch)
    finally:
        os.close(watch)


def test_controllers_are_enabled_on_the_way_down(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for place in (tmp_path, tmp_path / "a", tmp_path / "a" / "b"):
        (place / "cgroup.subtree_control").write_text("")
    cgroup.enable_controllers(str(tmp_path / "a"), ["memory", "pids"], root=str(tmp_path))
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory +pids"
    assert (tmp_path / "a" / "cgroup.subtree_control").read_text() == "+memory +pids"
    assert (tmp_path / "a" / "b" / "cgroup.subtree_control").read_text() == ""


def test_flat_files_are_read() -> None:
    assert cgroup.flat_keyed("oom 1\noom_kill 23\nodd\nmax max\n") == {"oom": 1, "oom_kill": 23}
