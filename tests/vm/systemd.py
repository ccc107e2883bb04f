"""What tasks do where systemd manages the cgroups; `test_cgroup2.py` runs this inside a virtual machine.

The same is asked of our daemon with our shim and of the stock ones, and must have the same answers, paths of groups
included: agents find containers by them.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from pycontainerd.system import cgroup
from tests.harness.daemon import OURS, STOCK, Daemon
from tests.integration.runtime.users import User
from tests.integration.tasks.house import Place

MIB: Final = 1 << 20
UNIT: Final = "test-c.scope"
GROUP: Final = "/machine.slice/test-c.scope"
FILES: Final = Path(f"{cgroup.ROOT}{GROUP}")
FLAGS: Final = ("-d", "--null-io", "--runc-systemd-cgroup", "--cgroup", "machine.slice:test:c")
LIMITS: Final = ("--memory-limit", str(64 * MIB), "--cpu-period", "10000", "--cpu-quota", "5000")

PATIENT: Final = """[timeouts]
  'io.containerd.timeout.shim.cleanup' = '300s'
"""
"""Both give up a clean-up after 5 s: an emulated machine needs longer."""

LOOKS: Final = 200
"""How often a test looks whether what it waits for has come: each look is a call of ctr, which takes its time."""

Facts = dict[str, Any]


@pytest.fixture(scope="session")
def rootfs(session_base: Path) -> Path:
    """A root file system of static busybox."""
    return Place(session_base / "busybox", "unused").rootfs()


@pytest.fixture
def answers(scratch: Path, rootfs: Path) -> Callable[[Callable[[User], Facts]], list[Facts]]:
    """Does the same with our programs and, when they have gone, with the stock ones."""

    def ask(story: Callable[[User], Facts]) -> list[Facts]:
        found = []
        for kind in (OURS, STOCK):
            with Daemon.start(kind, scratch / kind.name, config=PATIENT) as daemon:
                found.append(story(User(daemon, rootfs)))
        return found

    return ask


def unit() -> Facts:
    """What systemd knows of the container's unit."""
    names = "ActiveState,Slice,ControlGroup,Delegate,MemoryMax,TasksMax,CPUQuotaPerSecUSec"
    done = subprocess.run(["systemctl", "show", UNIT, "-p", names], check=True, capture_output=True, text=True)
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def start(user: User, *flags: str) -> int:
    """Starts the container and returns its pid."""
    user.run("c", "/bin/sleep", "1000", flags=(*FLAGS, *flags))
    return user.tasks()["c"][0]


def shim_of(pid: int) -> int:
    found = re.search(r"^PPid:\s+(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def content(name: str) -> str:
    return (FILES / name).read_text().strip()


def test_systemd_is_the_first_process() -> None:
    assert Path("/proc/1/comm").read_text() == "systemd\n"
    assert cgroup.is_unified()


def test_a_task_is_a_unit_of_systemd_at_the_path_and_with_the_limits_that_stock_gives_it(
    answers: Callable[[Callable[[User], Facts]], list[Facts]],
) -> None:
    def story(user: User) -> Facts:
        pid = start(user, *LIMITS)
        facts: Facts = {
            "groups": cgroup.groups_of(pid),
            "groups of the shim": cgroup.groups_of(shim_of(pid)),
            "unit": unit(),
            "files": {name: content(name) for name in ("memory.max", "cpu.max", "pids.max")},
            "exec": user.ctr("task", "exec", "--exec-id", "e", "c", "/bin/cat", "/proc/self/cgroup").out,
        }
        metrics = json.loads(user.ctr("task", "metrics", "--format", "json", "c").out)
        facts["metrics"] = metrics["memory"]["usage_limit"]
        for method in ("pause", "resume"):
            user.ctr("task", method, "c")
            facts[method] = content("cgroup.freeze")
        user.ctr("task", "rm", "-f", "c")
        user.ctr("containers", "rm", "c")
        return facts | {"left": FILES.exists(), "unit after it": unit()}

    ours, stock = answers(story)
    assert ours == stock
    assert ours["groups"] == {"": GROUP}
    assert ours["unit"]["ControlGroup"] == GROUP
    assert (ours["files"]["memory.max"], ours["files"]["cpu.max"]) == (str(64 * MIB), "5000 10000")
    assert (ours["pause"], ours["resume"], ours["left"]) == ("1", "0", False)
    assert ours["unit after it"]["ActiveState"] == "inactive"


def test_the_unit_of_a_task_whose_shim_is_killed_goes_with_it(
    answers: Callable[[Callable[[User], Facts]], list[Facts]],
) -> None:
    def story(user: User) -> Facts:
        os.kill(shim_of(start(user)), signal.SIGKILL)
        for _ in range(LOOKS):
            if not user.tasks() and not FILES.exists():
                break
        user.ctr("containers", "rm", "c")
        return {"left": FILES.exists(), "unit": unit()}

    ours, stock = answers(story)
    assert ours == stock
    assert (ours["left"], ours["unit"]["ActiveState"]) == (False, "inactive")
