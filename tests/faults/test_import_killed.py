"""The daemon is killed at each named point of an import; nothing is half done, and nothing is left for ever."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pycontainerd import faults
from pycontainerd.content import collection, store, writer
from pycontainerd.snapshots import directories, local
from pycontainerd.snapshots import store as snapshot_store
from pycontainerd.transfer import unpacking
from tests.harness.archives import NAME, Layout, digest_of, layer
from tests.harness.daemon import OURS, Daemon
from tests.harness.transfers import Transfers
from tests.harness.transfers import store as image_store

DECLARING = (collection, store, writer, directories, local, snapshot_store, unpacking)
"""The modules whose points are meant: they are declared when these are imported."""

POINTS = [
    name
    for part in ("content.", "snapshots.", "transfer.")
    for name in faults.points(part)
    if ".remove." not in name  # see test_removal_killed
]


@pytest.fixture
def killed(request: pytest.FixtureRequest, session_base: Path) -> Iterator[Daemon]:
    """A daemon that kills itself when it reaches the point."""
    base = session_base / f"killed-{POINTS.index(request.param)}"
    with Daemon.start(OURS, base, environment={faults.VARIABLE: f"{request.param}:kill"}) as daemon:
        yield daemon


def archive() -> bytes:
    layout = Layout()
    return layout.add(layout.image([layer(a="1"), layer(b="2")], {NAME: "example.com/a:1"}, compress=True)).bytes()


def blobs_on_disk(daemon: Daemon) -> set[str]:
    return {f"sha256:{path.name}" for path in daemon.root.glob("io.containerd.content.v1.content/blobs/sha256/*")}


def ingests_on_disk(daemon: Daemon) -> list[Path]:
    return list(daemon.root.glob("io.containerd.content.v1.content/ingest/*"))


def directories_on_disk(daemon: Daemon) -> list[str]:
    return os.listdir(daemon.root / "io.containerd.snapshotter.v1.overlayfs/snapshots")


def check_whole(daemon: Daemon) -> None:
    """Every blob on disk hashes to its name, and every one that is listed is there."""
    for path in daemon.root.glob("io.containerd.content.v1.content/blobs/sha256/*"):
        assert digest_of(path.read_bytes()) == f"sha256:{path.name}"
    side = Transfers(daemon.address, "ns")
    listed = {line.split()[1] for line in side.left() if line.startswith("blob")}
    side.close()
    assert listed <= blobs_on_disk(daemon)


@pytest.mark.parametrize("killed", POINTS, indirect=True)
def test_a_kill_leaves_what_is_whole_or_what_is_collected(killed: Daemon) -> None:
    side = Transfers(killed.address, "ns")
    target = image_store("n", unpack="overlayfs")
    side.import_archive(archive(), target)
    side.close()
    assert killed.process is not None
    assert killed.process.wait(60) == -signal.SIGKILL
    killed.environment = {}
    killed.up()
    check_whole(killed)

    side = Transfers(killed.address, "ns")
    side.drop_leases()
    side.collect()
    assert side.import_archive(archive(), target).answer == ""
    left = side.left()
    side.close()
    assert [line.split()[0] for line in left] == ["image", *["blob"] * 5, *["snapshot"] * 2]

    fresh = Transfers(killed.address, "other")
    fresh.import_archive(archive(), target)
    assert fresh.left() == left
    fresh.collect()
    fresh.close()
    check_whole(killed)
    assert blobs_on_disk(killed) == {line.split()[1] for line in left if line.startswith("blob")}
    assert ingests_on_disk(killed) == []
    assert len(directories_on_disk(killed)) == 4
