"""What a shim is asked to run in: core scheduling, a control group, a score for the killer; ours beside stock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2
from pycontainerd.api.containerd.services.snapshots import v1_pb2 as snapshots_pb2
from pycontainerd.api.containerd.services.tasks import v1_pb2 as tasks_pb2
from tests.conftest import IMAGE
from tests.harness.asking import OverSocket, outcome, over_socket
from tests.harness.cgroups import group_everywhere
from tests.harness.daemon import OURS, STOCK, Daemon, Kind
from tests.harness.machine import SESSION

TASKS = tasks_pb2.DESCRIPTOR.services_by_name["Tasks"]
SNAPSHOTS = snapshots_pb2.DESCRIPTOR.services_by_name["Snapshots"]


class Asked:
    """A daemon with a container `c` that has no task yet."""

    def __init__(self, daemon: Daemon, asker: OverSocket) -> None:
        self.daemon = daemon
        self._asker = asker

    def create(self, **options: Any) -> str:
        """Creates the task: what came of it, without what an executed shim adds."""
        asked = snapshots_pb2.MountsRequest(snapshotter="overlayfs", key="c")
        mounts = self._asker.ask(SNAPSHOTS, "mounts", asked, namespace=self.daemon.namespace).mounts
        message = runc_pb2.Options(root=str(self.daemon.base / "runc"), **options)
        packed = AnyMessage(type_url=message.DESCRIPTOR.full_name, value=message.SerializeToString())
        request = tasks_pb2.CreateTaskRequest(container_id="c", rootfs=mounts, options=packed)
        text = outcome(self._asker, TASKS, "create", request, namespace=self.daemon.namespace)
        return "created" if text.startswith("container_id") else text.removesuffix(": exit status 1")

    def shim(self) -> Path:
        """The directory of the shim's process."""
        mark = f"-namespace\0{self.daemon.namespace}\0".encode()
        (found,) = [entry for entry in Path("/proc").glob("[0-9]*") if mark in _command(entry)]
        return found

    def left(self) -> list[str]:
        """Bundles and sockets of shims that are there."""
        bundles = self.daemon.state.glob("io.containerd.runtime.v2.task/*/*")
        sockets = self.daemon.socket_dir.glob("*")
        return [path.name for path in (*bundles, *sockets) if not path.name.startswith("spawner")]


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""  # it has ended


@contextmanager
def asked(kind: Kind, base: Path, archive: Path, **environment: str) -> Iterator[Asked]:
    with Daemon.start(kind, base, environment=environment) as daemon, over_socket(daemon.address) as asker:
        daemon.ctr("images", "import", archive)
        daemon.ctr("containers", "create", IMAGE, "c", "/bin/sleep", "1000")
        yield Asked(daemon, asker)


def test_core_scheduling_is_refused_where_the_kernel_has_none(scratch: Path, busybox_archive: Path) -> None:
    seen = {}
    for kind in (OURS, STOCK):
        with asked(kind, scratch / str(kind), busybox_archive, SCHED_CORE="1") as at:
            answer = at.create()
            seen[kind] = answer, at.left() if answer != "created" else None
    assert seen[OURS] == seen[STOCK]


@pytest.fixture
def group() -> Iterator[str]:
    with group_everywhere(f"{SESSION}-shims") as path:
        yield path


def test_a_shim_runs_in_the_control_group_of_its_options_or_not_at_all(
    scratch: Path, busybox_archive: Path, group: str
) -> None:
    seen = {}
    for kind in (OURS, STOCK):
        with asked(kind, scratch / str(kind), busybox_archive) as at:
            refused = at.create(shim_cgroup="/there-is-no-such-group")
            left = at.left()
            created = at.create(shim_cgroup=group)
            shim = at.shim()
            joined = sum(line.endswith(group) for line in (shim / "cgroup").read_text().splitlines())
            mine = int(Path(f"/proc/{at.daemon.pid}/oom_score_adj").read_text())
            score = int((shim / "oom_score_adj").read_text()) - mine
            at.daemon.ctr("tasks", "rm", "-f", "c")
            seen[kind] = refused, left, created, joined >= 5, score
    assert seen[OURS] == seen[STOCK]
    assert seen[OURS][2:] == ("created", True, 1)
