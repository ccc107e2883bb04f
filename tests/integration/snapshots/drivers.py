"""The snapshotters that the suite runs against, each as a client sees it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.leases import v1_pb2 as leases_pb2
from pycontainerd.api.containerd.services.snapshots import v1_pb2 as pb
from pycontainerd.clock import SystemClock
from pycontainerd.errors import AlreadyExists
from pycontainerd.ids import RandomIds
from pycontainerd.leases.service import LeasesService
from pycontainerd.leases.store import LeaseStore
from pycontainerd.metadata.database import Database
from pycontainerd.mounts.model import Mount
from pycontainerd.mounts.mounting import mount_all, unmount_all
from pycontainerd.snapshots import overlay_support
from pycontainerd.snapshots.native import native
from pycontainerd.snapshots.overlayfs import overlayfs
from pycontainerd.snapshots.service import SnapshotsService
from pycontainerd.snapshots.store import SnapshotStore
from pycontainerd.threads import Threads
from tests.harness.asking import Asker, InProcess
from tests.harness.stores import Published

LEASE = "suite"
LEASES = leases_pb2.DESCRIPTOR.services_by_name["Leases"]
CONTRACT = pb.DESCRIPTOR.services_by_name["Snapshots"]
Mounts = Sequence[types_pb2.Mount]


class Snapshotter:
    """One snapshotter, seen from one namespace."""

    def __init__(self, asker: Asker, name: str, namespace: str, directory: Path, *, lease: str = LEASE) -> None:
        self.name = name
        self.namespace = namespace
        self._asker = asker
        self._directory = directory
        self._lease = lease
        self._numbers = itertools.count()
        # What no container needs would be collected under the test's hands.
        with suppress(AlreadyExists):
            asker.ask(LEASES, "create", leases_pb2.CreateRequest(id=lease), namespace=namespace)

    def prepare(self, key: str, parent: str = "", labels: Mapping[str, str] | None = None) -> Mounts:
        request = pb.PrepareSnapshotRequest(snapshotter=self.name, key=key, parent=parent, labels=labels or {})
        mounts: Mounts = self._ask("prepare", request).mounts
        return mounts

    def view(self, key: str, parent: str = "", labels: Mapping[str, str] | None = None) -> Mounts:
        request = pb.ViewSnapshotRequest(snapshotter=self.name, key=key, parent=parent, labels=labels or {})
        mounts: Mounts = self._ask("view", request).mounts
        return mounts

    def mounts(self, key: str) -> Mounts:
        mounts: Mounts = self._ask("mounts", pb.MountsRequest(snapshotter=self.name, key=key)).mounts
        return mounts

    def commit(self, name: str, key: str, labels: Mapping[str, str] | None = None, parent: str = "") -> None:
        self._ask(
            "commit",
            pb.CommitSnapshotRequest(snapshotter=self.name, name=name, key=key, labels=labels or {}, parent=parent),
        )

    def remove(self, key: str) -> None:
        self._ask("remove", pb.RemoveSnapshotRequest(snapshotter=self.name, key=key))

    def stat(self, key: str) -> pb.Info:
        info: pb.Info = self._ask("stat", pb.StatSnapshotRequest(snapshotter=self.name, key=key)).info
        return info

    def update(self, key: str, labels: Mapping[str, str], *paths: str) -> pb.Info:
        request = pb.UpdateSnapshotRequest(
            snapshotter=self.name, info=pb.Info(name=key, labels=labels), update_mask=FieldMask(paths=paths)
        )
        info: pb.Info = self._ask("update", request).info
        return info

    def usage(self, key: str) -> pb.UsageResponse:
        usage: pb.UsageResponse = self._ask("usage", pb.UsageRequest(snapshotter=self.name, key=key))
        return usage

    def walk(self, *filters: str) -> list[pb.Info]:
        batches = self._ask("list", pb.ListSnapshotsRequest(snapshotter=self.name, filters=filters))
        return [info for batch in batches for info in batch.info]

    def each(self) -> Iterator[pb.Info]:
        """All of them, while the listing goes on."""
        request = pb.ListSnapshotsRequest(snapshotter=self.name)
        for batch in self._asker.replies(CONTRACT, "list", request, namespace=self.namespace, lease=self._lease):
            yield from batch.info

    def names(self, *filters: str) -> list[str]:
        return [info.name for info in self.walk(*filters)]

    @contextmanager
    def mounted(self, mounts: Mounts) -> Iterator[Path]:
        """The state that *mounts* show, at a directory."""
        target = self._directory / f"m{next(self._numbers)}"
        target.mkdir()
        mount_all([Mount(m.type, m.source, m.target, tuple(m.options)) for m in mounts], str(target))
        try:
            yield target
        finally:
            unmount_all(str(target))
            target.rmdir()

    def layer(self, name: str, parent: str, change: Callable[[Path], object]) -> None:
        """Commits *name*: what *change* makes of *parent*."""
        with self.mounted(self.prepare(f"{name}-active", parent)) as root:
            change(root)
        self.commit(name, f"{name}-active")

    def shown(self, key: str, parent: str) -> dict[str, str]:
        """The files of *parent* with their texts, seen through a view *key*."""
        with self.mounted(self.view(key, parent)) as root:
            files = {
                str(path.relative_to(root)): path.read_text()
                for path in sorted(root.rglob("*"))
                if path.is_file() and not path.is_symlink()
            }
        self.remove(key)
        return files

    def _ask(self, method: str, request: Message) -> Any:
        return self._asker.ask(CONTRACT, method, request, namespace=self.namespace, lease=self._lease)


@contextmanager
def in_process(directory: Path, name: str) -> Iterator[Snapshotter]:
    """A snapshotter of this process below *directory*."""
    with (
        Database.open(directory / "meta" / "meta.sqlite", SystemClock(), sync=False) as database,
        Threads("snapshots", most=4) as threads,
        asyncio.Runner() as runner,
    ):
        leases = LeaseStore(database, RandomIds())
        store = store_over(directory, name, database, threads, leases)
        asker = InProcess(runner, [SnapshotsService({name: store}), LeasesService(leases)])
        yield Snapshotter(asker, name, "suite", directory)


def store_over(directory: Path, name: str, database: Database, threads: Threads, leases: LeaseStore) -> SnapshotStore:
    """The store of a built-in snapshotter below *directory*."""
    root = directory / name
    if name == "native":
        backend = native(root, threads)
    else:
        options = overlay_support.all_options(directory, ())
        capabilities = frozenset(overlay_support.capabilities(remaps_ids=True, slow_chown=False))
        backend = overlayfs(root, threads, options=options, capabilities=capabilities, remaps_ids=True)
    backend.bind(database)
    return SnapshotStore(name, backend, database, leases, Published())
