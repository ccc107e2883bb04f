"""Layers that are unpacked at once give what layers give that are unpacked one after the other."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness.archives import NAME, Layout
from tests.harness.daemon import OURS, Daemon
from tests.harness.transfers import Transfers, store
from tests.integration.snapshots.drivers import Snapshotter

TOGETHER = """
[plugins.'io.containerd.transfer.v1.local']
  max_concurrent_unpacks = 4
"""


@pytest.fixture(params=["", TOGETHER], ids=["in turn", "together"])
def daemon(request: pytest.FixtureRequest, session_base: Path) -> Iterator[Daemon]:
    with Daemon.start(OURS, session_base / "unpack", config=request.param) as started:
        yield started


def layer(*members: tuple[str, str | None]) -> bytes:
    """A layer of files with their texts, and of directories."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, text in members:
            entry = tarfile.TarInfo(name)
            entry.type = tarfile.DIRTYPE if text is None else tarfile.REGTYPE
            entry.mode = 0o755
            entry.size = len(text or "")
            tar.addfile(entry, io.BytesIO((text or "").encode()))
    return buffer.getvalue()


LAYERS = [
    layer(("d", None), ("d/a", "a"), ("d/b", "b"), ("o", None), ("o/x", "x"), ("f", "1")),
    layer(("d/.wh.a", ""), ("f", "2")),
    layer(("o/.wh..wh..opq", ""), ("o/y", "y")),
    layer(("d/c", "c"), (".wh.f", "")),
    layer(("f", "5")),
]


def test_the_image_is_what_its_layers_make(daemon: Daemon, scratch: Path) -> None:
    layout = Layout()
    archive = layout.add(layout.image(LAYERS, {NAME: "example.com/a:1"}, compress=True)).bytes()
    with ExitStack() as stack:
        side = Transfers(daemon.address, "ns")
        stack.callback(side.close)
        for _ in range(2):
            assert side.import_archive(archive, store("n", unpack="overlayfs")).answer == ""
        snapshots = [line.split()[1] for line in side.left() if line.startswith("snapshot")]
        assert len(snapshots) == len(LAYERS)
        snapshotter = Snapshotter(side.asker, "overlayfs", "ns", scratch)
        parents = {snapshotter.stat(name).parent for name in snapshots}
        (top,) = set(snapshots) - parents
        assert snapshotter.shown("view", top) == {"d/b": "b", "d/c": "c", "f": "5", "o/y": "y"}


def test_a_layer_that_fails_ends_the_others_and_leaves_no_snapshot(daemon: Daemon) -> None:
    layout = Layout()
    archive = layout.add(layout.image(LAYERS, {NAME: "example.com/a:1"}, without=[0])).bytes()
    side = Transfers(daemon.address, "ns")
    answer = side.import_archive(archive, store("n", unpack="overlayfs")).answer
    assert answer.startswith("NOT_FOUND: failed to extract layer")
    assert [line for line in side.left() if line.startswith("snapshot")] == []
    side.close()
