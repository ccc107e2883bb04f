"""What tasks do on a machine with cgroup version 2 alone; `test_cgroup2.py` runs this inside a virtual machine."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from pycontainerd.api.containerd import events_pb2
from pycontainerd.api.io.containerd.cgroups.v2_pb2 import Metrics
from pycontainerd.system.cgroup import groups_of, is_unified
from tests.harness import daemon
from tests.harness.machine import SESSION
from tests.integration.tasks.conftest import delete_containers
from tests.integration.tasks.house import OUR_RUNTIME, House, Place
from tests.integration.tasks.test_answers import run, running, stop

MIB = 1 << 20
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def base(session_base: Path) -> Iterator[Path]:
    """The directory of all these tests, so that one spawner serves them: its warm-up is long on an emulated machine."""
    directory = session_base / "unified"
    directory.mkdir()
    yield directory
    daemon.end_processes_below(directory)
    daemon.unmount_below(directory)
    shutil.rmtree(directory)


@pytest.fixture
def place(base: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A namespace of this test, with our shim."""
    monkeypatch.setenv("CONTAINERD_ADDRESS", str(base / "c.sock"))
    place = Place(base, f"{SESSION}-{next(_numbers)}", runtime=OUR_RUNTIME)
    yield place
    delete_containers(place)
    for pid in place.shims():
        os.kill(pid, signal.SIGKILL)
    daemon.unmount_below(place.state)
    shutil.rmtree(place.state / place.namespace, ignore_errors=True)
    daemon.remove_cgroups_of(place.namespace)


def linux(place: Place, id_: str, **resources: Any) -> dict[str, Any]:
    """The part of a spec that limits *resources*."""
    return {
        "cgroupsPath": f"/{place.namespace}/{id_}",
        "namespaces": [{"type": name} for name in ("pid", "mount", "ipc", "uts", "network", "cgroup")],
        "resources": resources,
    }


def group(place: Place, id_: str = "c") -> Path:
    return Path("/sys/fs/cgroup", place.namespace, id_)


def test_this_machine_has_version_2_alone() -> None:
    assert is_unified()
    assert [line.split()[8] for line in Path("/proc/self/mountinfo").read_text().splitlines() if "/cgroup" in line] == [
        "cgroup2"
    ]


def test_a_task_is_in_the_group_that_its_spec_names(place: Place) -> None:
    place.add("c")

    async def story(house: House) -> None:
        pid = await running(house)
        assert groups_of(pid) == {"": f"/{place.namespace}/c"}
        await stop(house)
        await house("delete", container_id="c")
        assert not group(place).exists()

    run(place, story)


def test_figures_are_those_of_version_2(place: Place) -> None:
    place.add("c", linux=linux(place, "c", memory={"limit": 64 * MIB}, pids={"limit": 20}))

    async def story(house: House) -> None:
        await running(house)
        answer = await house("metrics", filters=["id==c"])
        data = answer.metrics[0].data
        assert data.type_url == "io.containerd.cgroups.v2.Metrics"
        figures = Metrics.FromString(data.value)
        assert figures.pids.limit == 20
        assert 1 <= figures.pids.current <= 20  # runc's threads may not have gone yet
        assert figures.memory.usage_limit == 64 * MIB
        assert 0 < figures.memory.usage < 64 * MIB
        # The kernel rounds each of them from nanoseconds.
        assert 0 <= figures.cpu.usage_usec - figures.cpu.user_usec - figures.cpu.system_usec <= 1
        assert figures.cpu.usage_usec > 0
        assert figures.memory_events.oom_kill == 0

    run(place, story)


def test_an_update_changes_the_files_of_the_group(place: Place) -> None:
    place.add("c")

    async def story(house: House) -> None:
        await running(house)
        assert (group(place) / "memory.max").read_text() == "max\n"
        limits = {
            "memory": {"limit": 32 * MIB},
            "pids": {"limit": 9},
            "cpu": {"shares": 512, "quota": 5000, "period": 10000},
        }
        resources = AnyMessage(
            type_url="types.containerd.io/opencontainers/runtime-spec/1/LinuxResources",
            value=json.dumps(limits).encode(),
        )
        await house("update", container_id="c", resources=resources)
        files = {name: (group(place) / name).read_text().strip() for name in ("memory.max", "pids.max", "cpu.max")}
        assert files == {"memory.max": str(32 * MIB), "pids.max": "9", "cpu.max": "5000 10000"}

    run(place, story)


def test_a_paused_task_is_frozen_until_it_is_resumed(place: Place) -> None:
    place.add("c")

    async def story(house: House) -> None:
        await running(house)
        for method, frozen, status in (("pause", "1", "PAUSED"), ("resume", "0", "RUNNING")):
            await house(method, container_id="c")
            assert (group(place) / "cgroup.freeze").read_text().strip() == frozen
            process = (await house("get", container_id="c")).process
            assert (
                type(process).DESCRIPTOR.fields_by_name["status"].enum_type.values_by_number[process.status].name
                == status
            )

    run(place, story)


def test_a_lack_of_memory_is_told_and_kills(place: Place) -> None:
    # A string that doubles itself, in one process, which the kernel must then take.
    script = "x=0123456789abcdef; while :; do x=$x$x; done"
    place.add("c", "/bin/sh", "-c", script, linux=linux(place, "c", memory={"limit": 16 * MIB, "swap": 16 * MIB}))

    async def story(house: House) -> None:
        async with house.events() as until:
            await running(house)
            waited = await house("wait", container_id="c")
            events = await until("/tasks/exit")
            if not any(isinstance(event, events_pb2.TaskOOM) for event in events):
                events = await until("/tasks/oom")
        assert waited.exit_status == 137
        assert [event.container_id for event in events if isinstance(event, events_pb2.TaskOOM)] == ["c"]

    run(place, story)


def test_all_processes_of_a_task_are_killed_and_their_groups_are_gone(place: Place) -> None:
    place.add("c", "/bin/sh", "-c", "sleep 1000 & sleep 1000 & wait")

    async def story(house: House) -> None:
        await running(house)
        await house("kill", container_id="c", signal=9, all=True)
        assert (await house("wait", container_id="c")).exit_status == 137
        await house("delete", container_id="c")
        assert not group(place).exists()
        assert os.listdir(place.base / "runc" / place.namespace) == []

    run(place, story)
