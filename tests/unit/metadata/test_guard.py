"""A root is only for the daemon whose metadata it has."""

from __future__ import annotations

from pathlib import Path

import pytest

from pycontainerd.errors import FailedPrecondition
from pycontainerd.metadata.guard import claimed

BLOB = "io.containerd.content.v1.content/blobs/sha256/" + "a" * 64
SNAPSHOT = "io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs"


def claim(root: Path) -> Path:
    with claimed(root, root / "io.containerd.metadata.v1.bolt") as path:
        return path


def test_an_empty_root_is_claimed_with_a_file_that_bolt_can_not_read(scratch: Path) -> None:
    path = claim(scratch)
    placeholder = path.with_name("meta.db")
    # bbolt looks for its magic number here, in both of the pages that it may read first.
    data = placeholder.read_bytes()
    assert path.name == "meta.sqlite"
    assert len(data) >= 2 * 65_536
    assert data[16:20] != bytes.fromhex("edda0ced")
    assert data.startswith(b"This root belongs to pycontainerd")


@pytest.mark.parametrize("stored", [BLOB, SNAPSHOT])
@pytest.mark.parametrize("database", [None, b""])
def test_a_root_with_data_and_a_new_database_is_refused(stored: str, database: bytes | None, scratch: Path) -> None:
    (scratch / stored).parent.mkdir(parents=True)
    (scratch / stored).touch()
    directory = scratch / "io.containerd.metadata.v1.bolt"
    directory.mkdir()
    if database is not None:
        (directory / "meta.sqlite").write_bytes(database)
    with pytest.raises(FailedPrecondition, match="but no metadata"):
        claim(scratch)
    assert not (directory / "meta.db").exists()


def test_a_root_with_data_and_its_database_is_claimed(scratch: Path) -> None:
    directory = scratch / "io.containerd.metadata.v1.bolt"
    directory.mkdir()
    (directory / "meta.sqlite").write_bytes(b"x")
    (scratch / BLOB).parent.mkdir(parents=True)
    (scratch / BLOB).touch()
    assert claim(scratch) == directory / "meta.sqlite"


def test_a_root_of_the_original_is_refused(scratch: Path) -> None:
    directory = scratch / "io.containerd.metadata.v1.bolt"
    directory.mkdir()
    bolt = bytes(16) + bytes.fromhex("edda0ced") + bytes(1000)
    (directory / "meta.db").write_bytes(bolt)
    with pytest.raises(FailedPrecondition, match="belongs to a containerd that is not pycontainerd"):
        claim(scratch)
    assert (directory / "meta.db").read_bytes() == bolt


def test_a_root_has_one_daemon_at_a_time(scratch: Path) -> None:
    directory = scratch / "io.containerd.metadata.v1.bolt"
    with claimed(scratch, directory), pytest.raises(FailedPrecondition, match="in use by another daemon"):
        claim(scratch)
    assert claim(scratch) == directory / "meta.sqlite"
