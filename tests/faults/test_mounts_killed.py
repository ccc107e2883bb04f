"""The daemon is killed at each named point of activations: no mount is left that nobody can take away."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycontainerd import faults
from pycontainerd.activations import store
from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.mounts import v1_pb2 as mounts_pb2
from pycontainerd.errors import NotFound
from pycontainerd.metadata.gc import collector
from pycontainerd.system.mountinfo import mounts_below
from tests.faults.storage import Killable

DECLARING = (store, collector)
"""The modules whose points are meant: they are declared when these are imported."""

POINTS = [*faults.points("mounts."), *faults.points("metadata."), *faults.points("gc.")]
MOUNTS = mounts_pb2.DESCRIPTOR.services_by_name["Mounts"]
TMPFS = types_pb2.Mount(type="tmpfs", source="none")


class Activations(Killable):
    """The activations of a namespace, and what is mounted for them."""

    @property
    def targets(self) -> Path:
        return self.daemon.state / "io.containerd.mount-manager.v1.bolt" / "t"

    def activate(self, name: str, lease: str) -> None:
        request = mounts_pb2.ActivateRequest(name=name, mounts=[TMPFS, TMPFS], temporary=True)
        self.ask(MOUNTS, "activate", request, lease=lease)

    def deactivate(self, name: str) -> None:
        """Raises NotFound."""
        self.ask(MOUNTS, "deactivate", mounts_pb2.DeactivateRequest(name=name))

    def listed(self) -> dict[str, list[str]]:
        """The mount points of each activation."""
        replies = self.ask(MOUNTS, "list", mounts_pb2.ListRequest())
        return {reply.info.name: [active.mount_point for active in reply.info.active] for reply in replies}

    def check_mounted(self) -> None:
        """What is listed is mounted, and nothing else is there."""
        points = [point for points in self.listed().values() for point in points]
        assert sorted(mounts_below(str(self.targets))) == sorted(points)
        assert {os.path.join(self.targets, name) for name in os.listdir(self.targets)} == {
            os.path.dirname(point) for point in points
        }


@pytest.fixture(scope="module")
def activations(session_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Activations]:
    with Activations.started(session_base / "mounts", tmp_path_factory.mktemp("mounts")) as started:
        yield started


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_leaves_what_is_listed_or_what_is_collected(activations: Activations, point: str) -> None:
    activations.begin()
    for lease in ("kept", "going"):
        activations.lease(lease)
        activations.activate(lease, lease)
    kept = activations.listed()["kept"]

    def work() -> Iterator[str]:
        activations.activate("new", "kept")
        yield "new is there"
        activations.deactivate("new")
        yield "new is gone"
        activations.drop("going")
        yield "going is gone"

    acknowledged = activations.killed_at(point, work)
    activations.collect()
    listed = activations.listed()
    assert listed["kept"] == kept
    activations.check_mounted()
    assert "new is gone" not in acknowledged or "new" not in listed
    assert "going is gone" not in acknowledged or "going" not in listed

    if "new" in listed:
        activations.deactivate("new")
    with pytest.raises(NotFound):
        activations.deactivate("new")
    activations.activate("new", "kept")
    for lease in ("going", "kept"):
        activations.drop(lease)
    assert activations.listed() == {}
    activations.check_mounted()
