"""A daemon that dies at any point of a commit or a collection finds a whole house again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pycontainerd import faults
from pycontainerd.api.containerd.services.images import v1_pb2 as im
from pycontainerd.api.containerd.services.leases import v1_pb2 as ls
from pycontainerd.errors import Unavailable
from tests.harness.asking import over_socket
from tests.harness.daemon import OURS, Daemon
from tests.integration.metadata.house import HELPER, House, refs
from tests.integration.metadata.questions import IMAGES, LEASES

# No collection at start: it would reach the armed points before the test does.
QUIET = "[plugins.'io.containerd.gc.v1.scheduler']\n  startup_delay = '0s'\n  mutation_threshold = 0\n"


@contextmanager
def opened(daemon: Daemon) -> Iterator[House]:
    with over_socket(daemon.address) as asker:
        yield House(daemon, asker, "crash")


def restart(daemon: Daemon, *, fault: str = "") -> None:
    """Starts the daemon anew, armed with *fault*."""
    if daemon.process is not None and daemon.process.poll() is None:
        daemon.stop()
    daemon.environment = {faults.VARIABLE: f"{fault}:kill"} if fault else {}
    daemon.up()


def died(daemon: Daemon) -> bool:
    assert daemon.process is not None
    return daemon.process.wait(30) == -9


@pytest.mark.parametrize(("point", "stored"), [("metadata.commit", False), ("metadata.committed", True)])
def test_what_was_committed_is_there_and_what_was_not_is_not(point: str, stored: bool, session_base: Path) -> None:
    with Daemon.start(OURS, session_base / "crash-commit", config=QUIET) as daemon:
        restart(daemon, fault=point)
        with opened(daemon) as house, pytest.raises(Unavailable):
            house.image("i", "sha256:" + "0" * 64)
        assert died(daemon)
        restart(daemon)
        with opened(daemon) as house:
            assert house.images() == ({"i"} if stored else set())


@pytest.mark.parametrize("point", ["gc.marked", "gc.swept"])
def test_a_collection_that_was_cut_short_is_done_by_the_next(point: str, session_base: Path) -> None:
    with Daemon.start(OURS, session_base / "crash-gc", config=QUIET) as daemon:
        with opened(daemon) as house:
            house.lease(HELPER)
            layer = house.blob("layer")
            kept = house.blob("manifest", refs("content", layer))
            house.image("i", kept)
            lost = house.blob("lost", refs("content", house.blob("needed by lost")))
            house.snapshot("parent")
            house.snapshot("child", "parent")
        restart(daemon, fault=point)
        with opened(daemon) as house, pytest.raises(Unavailable):
            house.collect()
        assert died(daemon)
        restart(daemon)
        with opened(daemon) as house:
            assert {layer, kept} <= house.blobs()
            house.lease("again")
            house.ask(LEASES, "delete", ls.DeleteRequest(id="again", sync=True), lease="")
            assert (house.blobs(), house.snapshots()) == ({layer, kept}, set())
            assert lost not in house.blobs_on_disk()
            directories = daemon.root / "io.containerd.snapshotter.v1.native/snapshots"
            assert list(directories.iterdir()) == []
            house.ask(IMAGES, "delete", im.DeleteImageRequest(name="i", sync=True), lease="")
            assert house.blobs_on_disk() == set()
