"""`ctr gc` and `ctr df`: what they print, and that a daemon that is not ours is told from ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import IMAGE
from tests.harness.daemon import OURS, STOCK, Daemon, Result

ON_REQUEST = """[plugins.'io.containerd.gc.v1.scheduler']
  startup_delay = '0s'
  deletion_threshold = 1000
  mutation_threshold = 0
"""
"""Collects only when asked."""


@pytest.fixture
def daemon(session_base: Path, busybox_archive: Path) -> Iterator[Daemon]:
    with Daemon.start(OURS, session_base / "ctr-gc", config=ON_REQUEST) as started:
        started.ctr("images", "import", busybox_archive, by=OURS)
        yield started


def ctr(daemon: Daemon, *words: str, check: bool = True) -> Result:
    return daemon.ctr(*words, by=OURS, check=check)


def test_the_chain_of_a_snapshot_leads_from_its_image(daemon: Daemon) -> None:
    snapshot = ctr(daemon, "snapshots", "ls").lines[1].split()[0]
    lines = ctr(daemon, "gc", "explain", snapshot).lines
    assert lines[0] == f"snapshots/overlayfs {snapshot}: kept by 1 root"
    assert lines[1].split() == ["CHAIN", "BY"]
    assert lines[2].split() == ["images", IMAGE, "image"]
    assert [line.split()[0] for line in lines[3:]] == ["content", "content", "snapshots/overlayfs"]
    assert lines[-1].endswith("label containerd.io/gc.ref.snapshot.overlayfs")


def test_what_a_lease_keeps_is_explained_with_its_end(daemon: Daemon) -> None:
    daemon.ctr("leases", "create", "--id", "l", "--expires", "1h")
    out = ctr(daemon, "gc", "explain", "--kind", "leases", "l").out
    assert "leases l: kept by 1 root until 20" in out


def test_what_a_dry_run_shows_goes_with_a_run(daemon: Daemon) -> None:
    # An import leaves the index of the archive, which no image names.
    head, going, total = ctr(daemon, "gc", "--dry-run").lines
    assert head.split() == ["NAMESPACE", "KIND", "NAME", "SIZE"]
    namespace, kind, digest, size = going.split()
    assert (namespace, kind) == (daemon.namespace, "content")
    assert total == f"would remove 1 object and free {size}"
    # It is an hour or more off: the lease of the import would have ended then.
    explained = ctr(daemon, "gc", "explain", digest[:20]).out
    assert explained.startswith(f"content {digest}: nothing keeps it, it goes with the next collection, in 2")
    assert explained.endswith("s at most\n")
    assert ctr(daemon, "gc", "-n").lines[-1] == total
    done = ctr(daemon, "gc").out
    assert done.startswith("removed 1 object in ")
    assert done.endswith(f"freed {size}\n")
    assert ctr(daemon, "gc", "-n").out == "would remove 0 objects and free 0B\n"
    assert digest not in ctr(daemon, "content", "ls", "-q").lines


def test_the_usage_of_images_and_what_is_left_without_them(daemon: Daemon) -> None:
    ctr(daemon, "gc")
    head, image, _, content, snapshots, reclaimable = ctr(daemon, "df").lines
    assert head.split() == ["IMAGE", "COMPRESSED", "UNPACKED", "SHARED", "UNIQUE"]
    name, compressed, unpacked, shared, unique = image.split()
    assert (name, shared) == (IMAGE, "0B")
    assert (content.split(), snapshots.split()) == (["content", compressed], ["snapshots", unpacked])
    assert reclaimable.split() == ["reclaimable", "0B"]
    ctr(daemon, "images", "tag", IMAGE, "other:latest")
    head, image, other = ctr(daemon, "df", "--all").lines[:3]
    assert head.split()[:2] == ["NAMESPACE", "IMAGE"]
    assert image.split() == [daemon.namespace, IMAGE, compressed, unpacked, unique, "0B"]
    assert other.split() == [daemon.namespace, "other:latest", compressed, unpacked, unique, "0B"]
    ctr(daemon, "images", "rm", "--sync", IMAGE, "other:latest")
    assert [line.split() for line in ctr(daemon, "df").lines] == [
        ["content", "0B"],
        ["snapshots", "0B"],
        ["reclaimable", "0B"],
    ]


def test_what_is_not_there_is_not_explained(daemon: Daemon) -> None:
    assert ctr(daemon, "gc", "explain", "nope", check=False).err.splitlines()[-1].endswith("not found")
    assert "please provide" in ctr(daemon, "gc", "explain", check=False).err


def test_a_daemon_that_is_not_ours_is_told_so(session_base: Path) -> None:
    with Daemon.start(STOCK, session_base / "ctr-gc-stock") as stock:
        for words in (["gc"], ["gc", "--dry-run"], ["gc", "explain", "x"], ["df"]):
            result = ctr(stock, *words, check=False)
            assert result.code == 1
            assert "unknown service pycontainerd.services.gc.v1.GarbageCollector" in result.err
