"""A snapshotter in another process, reached over the same service that we offer.

Our keys begin with their namespace (`<namespace>/<number>/<name>`), and each call is made in it: the other side may be
a whole containerd, which has its own view of each namespace. What it has there that doesn't begin so is not ours.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from google.protobuf.field_mask_pb2 import FieldMask

from pycontainerd.api.containerd.services.snapshots import v1_pb2 as pb
from pycontainerd.errors import Error, FailedPrecondition, Internal, NotFound, Unavailable, Unimplemented
from pycontainerd.metadata.database import Database
from pycontainerd.metadata.times import from_timestamp
from pycontainerd.mounts.model import Mount
from pycontainerd.proxies.namespaces import namespaces_of
from pycontainerd.proxies.remote import Remote
from pycontainerd.quoting import quote
from pycontainerd.rpc.service import methods_of
from pycontainerd.snapshots.backend import Also
from pycontainerd.snapshots.model import Info, Kind, Mounts, Usage

_METHODS: Final = methods_of(pb.DESCRIPTOR.services_by_name["Snapshots"])


class ProxySnapshotter:
    """A backend that another process serves as the snapshotter *name*."""

    def __init__(self, remote: Remote, name: str, capabilities: Iterable[str]) -> None:
        self.capabilities = frozenset(capabilities)
        self.keeps_labels = False
        self._remote = remote
        self._name = name
        self._database: Database | None = None

    def bind(self, database: Database) -> None:
        self._database = database

    @property
    def database(self) -> Database:
        if self._database is None:
            raise Internal(f"snapshotter {self._name} has no database")
        return self._database

    async def stat(self, key: str) -> Info:
        request = pb.StatSnapshotRequest(snapshotter=self._name, key=key)
        reply: pb.StatSnapshotResponse = await self._remote.unary(_METHODS["stat"], request, _namespace(key))
        return _info(reply.info)

    async def infos(self, keys: Sequence[str]) -> Mapping[str, Info]:
        found: dict[str, Info] = {}
        for namespace in {_namespace(key) for key in keys}:
            filters = [f"name=={quote(key)}" for key in keys if _namespace(key) == namespace]
            found |= {info.name: info for info in await self._walk(namespace, filters)}
        return found

    async def keys(self, among: Collection[str] | None = None) -> Sequence[str]:
        infos = {info.name: info for info in await self._walk_all()}
        return [key for key in _children_first(infos) if among is None or key in among]

    async def _walk_all(self) -> list[Info]:
        """What it has without a namespace, if it knows none; else what it has in each of ours."""
        try:
            return await self._walk("", ())
        except Unavailable:
            raise
        except Error:
            pass  # one that has namespaces refuses
        found: list[Info] = []
        for namespace in await namespaces_of(self.database):
            infos = await self._walk(namespace, ())
            found += [info for info in infos if info.name.startswith(f"{namespace}/")]
        return found

    async def _walk(self, namespace: str, filters: Sequence[str]) -> list[Info]:
        request = pb.ListSnapshotsRequest(snapshotter=self._name, filters=filters)
        return [
            _info(info)
            async for batch in self._remote.replies(_METHODS["list"], request, namespace)
            for info in batch.info
        ]

    async def find_committed(self, label: str, value: str, namespace: str) -> Sequence[Info]:
        infos = await self._walk(namespace, [f"kind==committed,labels.{quote(label)}=={quote(value)}"])
        return [info for info in infos if info.kind is Kind.COMMITTED]

    async def update(self, key: str, labels: Mapping[str, str]) -> Info:
        request = pb.UpdateSnapshotRequest(
            snapshotter=self._name, info=pb.Info(name=key, labels=labels), update_mask=FieldMask(paths=["labels"])
        )
        reply: pb.UpdateSnapshotResponse = await self._remote.unary(_METHODS["update"], request, _namespace(key))
        return _info(reply.info)

    async def usage(self, key: str) -> Usage:
        request = pb.UsageRequest(snapshotter=self._name, key=key)
        reply: pb.UsageResponse = await self._remote.unary(_METHODS["usage"], request, _namespace(key))
        return Usage(reply.size, reply.inodes)

    async def mounts(self, key: str) -> Mounts:
        request = pb.MountsRequest(snapshotter=self._name, key=key)
        reply: pb.MountsResponse = await self._remote.unary(_METHODS["mounts"], request, _namespace(key))
        return _mounts(reply)

    async def prepare(
        self, key: str, parent: str, labels: Mapping[str, str], *, view: bool = False, also: Also | None = None
    ) -> Mounts:
        request_type = pb.ViewSnapshotRequest if view else pb.PrepareSnapshotRequest
        request = request_type(snapshotter=self._name, key=key, parent=parent, labels=labels)
        reply = await self._remote.unary(_METHODS["view" if view else "prepare"], request, _namespace(key))
        if also is not None:
            await self.database.write(also, what=f"prepare snapshot {key}")
        return _mounts(reply)

    async def commit(
        self, name: str, key: str, labels: Mapping[str, str], *, parent: str = "", also: Also | None = None
    ) -> None:
        request = pb.CommitSnapshotRequest(snapshotter=self._name, name=name, key=key, labels=labels, parent=parent)
        await self._remote.unary(_METHODS["commit"], request, _namespace(key))
        if also is not None:
            await self.database.write(also, what=f"commit snapshot {key}")

    async def remove(self, key: str) -> None:
        await self._remote.unary(
            _METHODS["remove"], pb.RemoveSnapshotRequest(snapshotter=self._name, key=key), _namespace(key)
        )

    async def cleanup(self) -> None:
        """Passed on; many have nothing to clean up, and a containerd cleans up by itself."""
        try:
            await self._remote.unary(_METHODS["cleanup"], pb.CleanupRequest(snapshotter=self._name), "")
        except (Unimplemented, FailedPrecondition, NotFound):
            return


def _namespace(key: str) -> str:
    return key.partition("/")[0]


def _children_first(infos: Mapping[str, Info]) -> list[str]:
    """The keys in an order in which none comes after its parent."""

    def depth(info: Info) -> int:
        above = 0
        while (parent := infos.get(info.parent)) is not None and above <= len(infos):
            info, above = parent, above + 1
        return above

    return sorted(infos, key=lambda key: -depth(infos[key]))


def _mounts(reply: pb.MountsResponse | pb.PrepareSnapshotResponse | pb.ViewSnapshotResponse) -> Mounts:
    return tuple(Mount(mount.type, mount.source, mount.target, tuple(mount.options)) for mount in reply.mounts)


def _info(info: pb.Info) -> Info:
    kind = Kind(info.kind) if info.kind in {kind.value for kind in Kind} else Kind.ACTIVE
    created_ns, updated_ns = from_timestamp(info.created_at), from_timestamp(info.updated_at)
    return Info(info.name, kind, info.parent, created_ns, updated_ns, dict(info.labels))
