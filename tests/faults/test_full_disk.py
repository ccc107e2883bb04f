"""A disk that is full in the middle of something: a clear error, the daemon goes on, what was acknowledged stays."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from pycontainerd.api.containerd.services.content import v1_pb2 as content_pb2
from pycontainerd.api.containerd.services.leases import v1_pb2 as leases_pb2
from pycontainerd.api.containerd.services.snapshots import v1_pb2 as snapshots_pb2
from pycontainerd.errors import NotFound, ResourceExhausted
from tests.faults.storage import CONTENT, LEASES, store
from tests.harness import peers
from tests.harness.asking import OverSocket, over_socket
from tests.harness.daemon import OURS, Daemon
from tests.integration.proxies.houses import Without, running

SNAPSHOTS = snapshots_pb2.DESCRIPTOR.services_by_name["Snapshots"]
NAMESPACE, LEASE = "full", "all"
SIZE = 16 << 20


@dataclass
class Client:
    """What a test asks; all that it makes is leased."""

    daemon: Daemon
    asker: OverSocket

    def ask(self, contract: ServiceDescriptor, method: str, request: Message) -> Any:
        return self.asker.ask(contract, method, request, namespace=NAMESPACE, lease=LEASE)

    def store(self, data: bytes) -> str:
        """Stores a blob in pieces; returns its digest."""
        return store(self.asker, data, namespace=NAMESPACE, lease=LEASE)

    def read(self, digest: str) -> bytes:
        replies = self.ask(CONTENT, "read", content_pb2.ReadContentRequest(digest=digest))
        return b"".join(reply.data for reply in replies)

    def layer(self, name: str) -> None:
        prepare = snapshots_pb2.PrepareSnapshotRequest(snapshotter="native", key=f"{name}-active")
        self.ask(SNAPSHOTS, "prepare", prepare)
        commit = snapshots_pb2.CommitSnapshotRequest(snapshotter="native", name=name, key=f"{name}-active")
        self.ask(SNAPSHOTS, "commit", commit)

    def stat(self, name: str) -> object:
        return self.ask(SNAPSHOTS, "stat", snapshots_pb2.StatSnapshotRequest(snapshotter="native", key=name))


class OnSmallDisk(Without):
    """A daemon whose root lies beside its base, where a test has mounted something."""

    @property
    def root(self) -> Path:
        return self.base.parent / "root"


@pytest.fixture
def client(scratch: Path) -> Iterator[Client]:
    """A daemon whose root is a file system of its own, of SIZE bytes."""
    root = scratch / "root"
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", root], check=True)
    daemon = OnSmallDisk(OURS, scratch / "d", OURS, disabled=("io.containerd.snapshotter.v1.overlayfs",))
    try:
        with running(daemon), over_socket(daemon.address) as asker:
            asker.ask(LEASES, "create", leases_pb2.CreateRequest(id=LEASE), namespace=NAMESPACE)
            yield Client(daemon, asker)
    finally:
        subprocess.run(["umount", root], check=True)


@contextmanager
def full(root: Path) -> Iterator[None]:
    """Leaves no byte of the file system for the length of the block."""
    filler = root / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    try:
        yield
    finally:
        os.unlink(filler)


def test_an_ingest_that_fills_the_disk_ends_with_a_clear_error(client: Client, scratch: Path) -> None:
    kept = client.store(b"kept")
    with pytest.raises(ResourceExhausted, match="no space left on device"):
        client.store(os.urandom(2 * SIZE))
    assert client.read(kept) == b"kept"
    statuses = client.ask(CONTENT, "list_statuses", content_pb2.ListStatusesRequest()).statuses
    for status in statuses:
        client.ask(CONTENT, "abort", content_pb2.AbortRequest(ref=status.ref))
    after = client.store(b"after")
    check_after_restart(client, [kept, after], [])


def test_commits_on_a_full_disk_fail_whole_and_work_again_later(client: Client, scratch: Path) -> None:
    kept = client.store(b"kept")
    client.layer("below")
    acknowledged: list[str] = []
    with full(scratch / "root"):
        refused = 0
        for number in range(200):
            try:
                acknowledged.append(client.store(b"%d" % number * 5_000))
                client.layer(f"layer-{number}")
            except ResourceExhausted:
                refused += 1
        assert refused
        assert client.read(kept) == b"kept"
        client.stat("below")
    acknowledged.append(client.store(b"after"))
    client.layer("above")
    check_after_restart(client, [kept, *acknowledged], ["below", "above"])


def test_the_collector_goes_on_after_a_full_disk(client: Client, scratch: Path) -> None:
    kept = client.store(b"kept")
    gone = client.store(os.urandom(SIZE // 2))
    with full(scratch / "root"):
        with suppress(ResourceExhausted):  # the log of the database may have room for it or not
            client.ask(CONTENT, "delete", content_pb2.DeleteContentRequest(digest=gone))
        with suppress(ResourceExhausted):
            collect(client)
        assert client.read(kept) == b"kept"
    with suppress(NotFound):
        client.ask(CONTENT, "delete", content_pb2.DeleteContentRequest(digest=gone))
    collect(client)
    blobs = scratch / "root" / "io.containerd.content.v1.content" / "blobs" / "sha256"
    assert [f"sha256:{path.name}" for path in blobs.iterdir()] == [kept]
    check_after_restart(client, [kept], [])


def collect(client: Client) -> None:
    """Makes and deletes a lease, waiting for the collector."""
    client.asker.ask(LEASES, "create", leases_pb2.CreateRequest(id="short"), namespace=NAMESPACE)
    client.asker.ask(LEASES, "delete", leases_pb2.DeleteRequest(id="short", sync=True), namespace=NAMESPACE)


def check_after_restart(client: Client, digests: list[str], names: list[str]) -> None:
    """What was acknowledged is whole, also after a kill."""
    client.daemon.kill()
    client.daemon.up()
    for digest in digests:
        assert f"sha256:{hashlib.sha256(client.read(digest)).hexdigest()}" == digest
    for name in names:
        client.stat(name)


@pytest.mark.parametrize("damage", [b"no database at all" * 1000, b"SQLite format 3\0" + b"\xff" * 8192])
def test_a_daemon_refuses_a_damaged_database_and_collects_nothing(scratch: Path, damage: bytes) -> None:
    daemon = Daemon(OURS, scratch / "d", OURS)
    with running(daemon):
        daemon.ctr("content", "ingest", "kept", stdin=b"kept")
        daemon.stop()
        database = daemon.root / "io.containerd.metadata.v1.bolt" / "meta.sqlite"
        whole = database.read_bytes()
        for file in database.parent.glob("meta.sqlite-*"):
            file.unlink()
        database.write_bytes(damage)
        command = [str(peers.ours("containerd")), "--config", str(daemon.base / "config.toml")]
        refused = subprocess.run(command, env=daemon.env(), capture_output=True, check=False, timeout=60)
        assert refused.returncode != 0
        assert b"meta.sqlite" in refused.stderr
        blobs = daemon.root / "io.containerd.content.v1.content" / "blobs" / "sha256"
        assert len(list(blobs.iterdir())) == 1
        database.write_bytes(whole)
        daemon.up()
