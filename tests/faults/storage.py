"""What a client stores in a daemon that a test kills, and what is left of it."""

from __future__ import annotations

import hashlib
import itertools
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message

from pycontainerd import faults
from pycontainerd.api.containerd.services.content import v1_pb2 as content_pb2
from pycontainerd.api.containerd.services.leases import v1_pb2 as leases_pb2
from pycontainerd.errors import NotFound, Unavailable
from pycontainerd.rpc.status import from_status
from tests.harness.asking import OverSocket
from tests.harness.daemon import OURS, READY_S, Daemon
from tests.integration.snapshots.drivers import Snapshotter

CONTENT = content_pb2.DESCRIPTOR.services_by_name["Content"]
LEASES = leases_pb2.DESCRIPTOR.services_by_name["Leases"]
SNAPSHOTTERS = ("native", "overlayfs")
PIECE = 1 << 20


def store(
    asker: OverSocket, data: bytes, *, namespace: str, lease: str, ref: str = "", unfinished: bool = False
) -> str:
    """Stores a blob in pieces, or leaves its ingest *unfinished*; returns its digest. Raises what is answered."""
    write = asker.channel.stream_stream(
        "/containerd.services.content.v1.Content/Write",
        content_pb2.WriteContentRequest.SerializeToString,
        content_pb2.WriteContentResponse.FromString,
    )
    digest = hashlib.sha256(data).hexdigest()
    ref = ref or digest
    requests = [
        content_pb2.WriteContentRequest(action=content_pb2.WRITE, ref=ref, offset=at, data=data[at : at + PIECE])
        for at in range(0, len(data), PIECE)
    ]
    if not unfinished:
        requests.append(content_pb2.WriteContentRequest(action=content_pb2.COMMIT, ref=ref, offset=len(data)))
    try:
        list(write(iter(requests), metadata=(("containerd-namespace", namespace), ("containerd-lease", lease))))
    except grpc.RpcError as error:
        raise from_status(error.code().value[0], error.details() or "") from None
    return f"sha256:{digest}"


class Killable:
    """A daemon that kills itself at the point that a test names, and a client of it in a namespace."""

    def __init__(self, daemon: Daemon, points: Path, directory: Path) -> None:
        self.daemon = daemon
        self.directory = directory
        self._points = points
        self._numbers = itertools.count(1)
        self.namespace = ""
        self.asker = OverSocket(daemon.address)

    @classmethod
    @contextmanager
    def started(cls, base: Path, directory: Path) -> Iterator[Self]:
        points = directory / "points"
        points.mkdir()
        environment = {faults.VARIABLE: f"{points}:kill"}
        with Daemon.start(OURS, base, environment=environment) as daemon:
            client = cls(daemon, points, directory)
            try:
                yield client
            finally:
                client.asker.close()

    def begin(self) -> None:
        """Turns to a namespace of its own; what a test before this one has left is dropped."""
        for point in self._points.iterdir():
            point.unlink()
        if self.namespace:
            for lease in self.ask(LEASES, "list", leases_pb2.ListRequest()).leases:
                self.drop(lease.id)
        self.namespace = f"{self.daemon.namespace}-{next(self._numbers)}"

    def ask(self, contract: ServiceDescriptor, method: str, request: Message, *, lease: str = "") -> Any:
        return self.asker.ask(contract, method, request, namespace=self.namespace, lease=lease)

    def lease(self, name: str) -> None:
        self.ask(LEASES, "create", leases_pb2.CreateRequest(id=name))

    def drop(self, lease: str) -> None:
        """Deletes the lease, and returns when what it held has been collected."""
        with suppress(NotFound):
            self.ask(LEASES, "delete", leases_pb2.DeleteRequest(id=lease, sync=True))

    def collect(self) -> None:
        self.lease("nothing")
        self.drop("nothing")

    def killed_at(self, point: str, work: Callable[[], Iterator[str]]) -> list[str]:
        """Does *work* until the daemon has killed itself at *point*, and starts it again.

        Returns what *work* told: what the daemon has acknowledged.
        """
        (self._points / point).touch()
        acknowledged: list[str] = []
        with suppress(Unavailable):
            acknowledged += work()
        assert self.daemon.process is not None
        assert self.daemon.process.wait(READY_S) == -signal.SIGKILL
        self.daemon.up()
        self.asker.close()
        self.asker = OverSocket(self.daemon.address)
        return acknowledged


class Storage(Killable):
    """Blobs, ingests and snapshots. Each thing is called `<kind> <lease>-<what>`."""

    def snapshots(self, snapshotter: str, lease: str) -> Snapshotter:
        return Snapshotter(self.asker, snapshotter, self.namespace, self.directory, lease=lease)

    def fill(self, lease: str) -> None:
        """Stores one of each under the lease."""
        for name in _blobs(lease):
            store(self.asker, _data(name), namespace=self.namespace, lease=lease)
        for snapshotter in SNAPSHOTTERS:
            snapshots = self.snapshots(snapshotter, lease)
            snapshots.layer(f"{lease}-base", "", lambda root: _write(root, f"{lease}-base"))
            snapshots.layer(f"{lease}-top", f"{lease}-base", lambda root: _write(root, f"{lease}-top"))
            snapshots.prepare(f"{lease}-active", f"{lease}-top")

    def ingest(self, lease: str, name: str) -> None:
        store(self.asker, b"half", namespace=self.namespace, lease=lease, ref=name, unfinished=True)

    def remove(self, thing: str) -> None:
        """Raises NotFound."""
        kind, name = thing.split()
        if kind == "blob":
            self.ask(CONTENT, "delete", content_pb2.DeleteContentRequest(digest=_digest(name)))
        elif kind == "ingest":
            self.ask(CONTENT, "abort", content_pb2.AbortRequest(ref=name))
        else:
            self.snapshots(kind, "kept").remove(name)

    def things(self) -> list[str]:
        """All that the daemon lists."""
        known = {_digest(name): name for lease in ("kept", "going") for name in _blobs(lease)}
        blobs = self.ask(CONTENT, "list", content_pb2.ListContentRequest())
        statuses = self.ask(CONTENT, "list_statuses", content_pb2.ListStatusesRequest()).statuses
        return sorted(
            [
                *(f"blob {known[info.digest]}" for batch in blobs for info in batch.info),
                *(f"ingest {status.ref}" for status in statuses),
                *(f"{kind} {name}" for kind in SNAPSHOTTERS for name in self.snapshots(kind, "kept").names()),
            ]
        )

    def check_whole(self) -> None:
        """All that is listed has the bytes that were stored."""
        for kind, name in (thing.split() for thing in self.things()):
            if kind == "blob":
                replies = self.ask(CONTENT, "read", content_pb2.ReadContentRequest(digest=_digest(name)))
                assert b"".join(reply.data for reply in replies) == _data(name)
            elif kind in SNAPSHOTTERS and not name.endswith("-active"):
                shown = self.snapshots(kind, "kept").shown("seen", name)
                assert shown[f"d/e/{name}"] == name

    def check_disk(self, things: Sequence[str]) -> None:
        """Nothing lies on the disk but *things*, and nothing of them is missing."""
        content = self.daemon.root / "io.containerd.content.v1.content"
        blobs = {_digest(thing.split()[1]) for thing in things if thing.startswith("blob")}
        assert {f"sha256:{path.name}" for path in content.glob("blobs/sha256/*")} == blobs
        assert list(content.glob("ingest/*")) == []
        for kind in SNAPSHOTTERS:
            directories = os.listdir(self.daemon.root / f"io.containerd.snapshotter.v1.{kind}" / "snapshots")
            assert len(directories) == sum(thing.startswith(kind) for thing in things), directories


def stored(lease: str) -> list[str]:
    """The things that `Storage.fill` makes."""
    snapshots = [f"{kind} {lease}-{name}" for kind in SNAPSHOTTERS for name in ("active", "base", "top")]
    return sorted([*(f"blob {name}" for name in _blobs(lease)), *snapshots])


def _blobs(lease: str) -> list[str]:
    return [f"{lease}-1", f"{lease}-2"]


def _data(name: str) -> bytes:
    return name.encode() * 10_000


def _digest(name: str) -> str:
    return f"sha256:{hashlib.sha256(_data(name)).hexdigest()}"


def _write(root: Path, name: str) -> None:
    (root / "d/e").mkdir(parents=True, exist_ok=True)
    (root / "d/e" / name).write_text(name)
