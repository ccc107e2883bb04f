"""`containerd check`: what is wrong with a root is named, and mended when that is asked for."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import IMAGE
from tests.harness.archives import digest_of
from tests.harness.daemon import OURS, Daemon, Result

CONTENT = "io.containerd.content.v1.content"
LAYERS = "io.containerd.snapshotter.v1.overlayfs/snapshots"
DATABASE = "io.containerd.metadata.v1.bolt/meta.sqlite"


@dataclass
class House:
    """A root with one image, unpacked, and no daemon."""

    daemon: Daemon

    @property
    def root(self) -> Path:
        return self.daemon.root

    def check(self, *flags: str) -> Result:
        command = [str(OURS.program("containerd")), "--config", str(self.daemon.base / "config.toml"), "check", *flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=self.daemon.env())
        return Result(done.returncode, done.stdout, done.stderr)

    def blobs(self) -> list[Path]:
        """By size, the largest first: the layer."""
        return sorted((self.root / CONTENT / "blobs/sha256").iterdir(), key=lambda path: -path.stat().st_size)

    def layers(self) -> list[Path]:
        return sorted((self.root / LAYERS).iterdir())

    def execute(self, sql: str, *arguments: object) -> None:
        with sqlite3.connect(self.root / DATABASE) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute(sql, arguments)
        connection.close()

    def mended(self) -> None:
        """A repair says that all is well, and so does the next check."""
        repaired = self.check("--repair")
        assert repaired.code == 0, repaired.out + repaired.err
        assert repaired.lines[-1].endswith("repaired, 0 left")
        again = self.check()
        assert (again.code, again.lines[-1].rpartition("; ")[2]) == (0, "nothing is wrong")


@pytest.fixture
def house(scratch: Path, busybox_archive: Path) -> Iterator[House]:
    with Daemon.start(OURS, scratch / "d") as daemon:
        daemon.ctr("images", "import", busybox_archive)
        daemon.ctr("gc", by=OURS)  # takes the index of the archive, which would go at some moment or other
        daemon.stop()
        yield House(daemon)


def test_a_sound_root_is_called_sound(house: House) -> None:
    done = house.check()
    assert (done.code, done.err) == (0, "")
    (line,) = done.lines
    assert line.startswith(f"{house.root}: 3 blobs (")
    assert line.endswith("0 ingests, 1 snapshots, 0 mounts looked at; nothing is wrong")


def test_a_root_that_a_daemon_has_is_left_alone(house: House) -> None:
    house.daemon.up()
    done = house.check("--repair")
    assert (done.code, done.out) == (1, "")
    assert done.err == f"containerd: root {house.root} is in use by a daemon\n"


def test_a_root_without_metadata_is_no_root(scratch: Path) -> None:
    command = [str(OURS.program("containerd")), "--root", str(scratch), "check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"containerd: metadata database {scratch / DATABASE}: not found\n"
    assert list(scratch.iterdir()) == []


def test_broken_bytes_are_found_and_a_new_import_brings_them_again(house: House, busybox_archive: Path) -> None:
    layer = house.blobs()[0]
    data = bytearray(layer.read_bytes())
    data[1000] ^= 1
    layer.write_bytes(data)
    done = house.check()
    assert done.code == 2
    assert done.lines[0].startswith(f"broken blob sha256:{layer.name} (")
    assert f"its bytes are {digest_of(bytes(data))}" in done.lines[0]
    assert layer.exists()
    house.mended()
    assert not layer.exists()
    house.daemon.up()
    house.daemon.ctr("images", "import", busybox_archive)
    assert house.daemon.ctr("content", "get", f"sha256:{layer.name}").code == 0
    house.daemon.stop()
    assert house.check().code == 0


def test_a_cut_off_manifest_names_its_image(house: House) -> None:
    with sqlite3.connect(house.root / DATABASE) as connection:
        ((target,),) = connection.execute("SELECT target_digest FROM images").fetchall()
    connection.close()
    (house.root / CONTENT / "blobs" / target.replace(":", "/")).write_bytes(b"")
    done = house.check()
    assert done.lines[0] == (
        f"broken blob {target}: its bytes are {digest_of(b'')}, the target of {house.daemon.namespace} {IMAGE}"
    )
    house.mended()


def test_a_row_without_a_file_is_found(house: House) -> None:
    layer = house.blobs()[0]
    layer.unlink()
    done = house.check()
    assert done.code == 2
    assert done.lines[0].startswith(f"missing blob sha256:{layer.name} (")
    house.mended()


def test_files_without_a_row_are_named_with_their_bytes(house: House) -> None:
    data = b"nobody's" * 1000
    stray = house.root / CONTENT / "blobs/sha256" / digest_of(data).removeprefix("sha256:")
    stray.write_bytes(data)
    ingest = house.root / CONTENT / "ingest" / ("0" * 64)
    ingest.mkdir(parents=True)
    (ingest / "data").write_bytes(b"x" * 2048)
    (ingest / "ref").write_text("ns/1/pull")
    layer = house.root / LAYERS / "77"
    (layer / "fs").mkdir(parents=True)
    (layer / "fs/file").write_bytes(b"x" * 8192)
    done = house.check()
    assert done.code == 2
    assert done.lines[:2] == [
        f"orphaned blob {digest_of(data)} (7.8 KiB): no namespace has it",
        f"orphaned ingest {ingest.name} (2.0 KiB): no row names it: ns/1/pull",
    ]
    assert done.lines[2].startswith("orphaned snapshot overlayfs 77 (")
    assert done.lines[2].endswith("no row names this directory")
    assert "3 wrong, a repair would remove" in done.lines[-1]
    house.mended()
    assert not any(path.exists() for path in (stray, ingest, layer))


def test_a_snapshot_without_its_directory_goes_with_all_that_stands_on_it(house: House) -> None:
    (layer,) = house.layers()
    house.daemon.up()
    (key,) = house.daemon.ctr("snapshots", "ls").lines[1].split()[:1]
    house.daemon.ctr("snapshots", "prepare", "on-top", key)
    house.daemon.stop()
    layer.rename(house.root / "away")
    done = house.check()
    assert done.lines[0].endswith(f"its directory {layer} is gone, 1 snapshots stand on it")
    house.mended()
    assert house.layers() == []
    house.daemon.up()
    assert len(house.daemon.ctr("snapshots", "ls").lines) == 1


def test_a_snapshot_that_a_container_uses_is_left_to_a_person(house: House) -> None:
    house.daemon.up()
    house.daemon.ctr("containers", "create", IMAGE, "c", "true")
    house.daemon.stop()
    top = house.layers()[-1]
    top.rename(house.root / "away")
    done = house.check("--repair")
    assert done.code == 2
    assert done.lines[0].endswith(f"is gone; in use by {house.daemon.namespace} c: not repaired")


def test_a_snapshot_that_no_namespace_has_is_named_with_its_bytes(house: House) -> None:
    house.execute("DELETE FROM objects WHERE id IN (SELECT id FROM snapshots)")
    (layer,) = house.layers()
    done = house.check()
    assert done.code == 2
    assert done.lines[0].startswith("unnamed snapshot overlayfs ")
    assert f"directory {layer.name}, no namespace has it" in done.lines[0]
    house.mended()
    assert house.layers() == []


def test_mounts_that_nobody_will_take_away_are_named(house: House) -> None:
    (layer,) = house.layers()
    target = house.daemon.state / "io.containerd.runtime.v2.task/ns/gone/rootfs"
    target.mkdir(parents=True)
    subprocess.run(["mount", "--bind", layer / "fs", target], check=True)
    done = house.check()
    assert done.code == 2
    assert done.lines[0] == f"orphaned mount {target}: tmpfs, task ns gone has no shim"
    house.mended()
    assert not os.path.ismount(target)


def test_a_damaged_database_ends_the_check_there(house: House) -> None:
    database = house.root / DATABASE
    with sqlite3.connect(database) as connection:
        ((page,),) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'blobs_by_digest'").fetchall()
        ((size,),) = connection.execute("PRAGMA page_size").fetchall()
    connection.close()  # the last one: everything is in the file now
    with database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    done = house.check("--repair")
    assert done.code == 2
    assert done.lines[0].startswith(f"damaged database {database}: ")
    assert not any("orphaned" in line or "missing" in line for line in done.lines)
    assert "0 blobs" in done.lines[-1]


def test_a_database_of_another_version_is_not_judged(house: House) -> None:
    house.execute("PRAGMA user_version = 999")
    done = house.check()
    assert done.code == 1
    assert "has schema version 999, this program works on" in done.err
