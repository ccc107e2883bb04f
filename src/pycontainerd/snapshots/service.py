"""The Snapshots service: wire in, store call, wire out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, ClassVar, Final

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.snapshots import v1_pb2 as pb
from pycontainerd.errors import Error, InvalidArgument, Unimplemented, Unknown
from pycontainerd.metadata.joining import joined
from pycontainerd.metadata.times import to_timestamp
from pycontainerd.mounts.model import Mount
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service
from pycontainerd.snapshots.model import Info, Kind
from pycontainerd.snapshots.store import SnapshotStore


class SnapshotsService(Service):
    """`containerd.services.snapshots.v1.Snapshots`"""

    contract: ClassVar = pb.DESCRIPTOR.services_by_name["Snapshots"]

    def __init__(self, stores: Mapping[str, SnapshotStore]) -> None:
        self._stores = stores

    async def prepare(self, request: pb.PrepareSnapshotRequest, call: Call) -> pb.PrepareSnapshotResponse:
        mounts = await self._store(request.snapshotter).prepare(
            call.namespace, request.key, request.parent, request.labels, lease=call.lease
        )
        return pb.PrepareSnapshotResponse(mounts=map(_mount, mounts))

    async def view(self, request: pb.ViewSnapshotRequest, call: Call) -> pb.ViewSnapshotResponse:
        mounts = await self._store(request.snapshotter).prepare(
            call.namespace, request.key, request.parent, request.labels, view=True, lease=call.lease
        )
        return pb.ViewSnapshotResponse(mounts=map(_mount, mounts))

    async def mounts(self, request: pb.MountsRequest, call: Call) -> pb.MountsResponse:
        mounts = await self._store(request.snapshotter).mounts(call.namespace, request.key)
        return pb.MountsResponse(mounts=map(_mount, mounts))

    async def commit(self, request: pb.CommitSnapshotRequest, call: Call) -> Empty:
        await self._store(request.snapshotter).commit(
            call.namespace, request.name, request.key, request.labels, parent=request.parent, lease=call.lease
        )
        return Empty()

    async def remove(self, request: pb.RemoveSnapshotRequest, call: Call) -> Empty:
        await self._store(request.snapshotter).remove(call.namespace, request.key, lease=call.lease)
        return Empty()

    async def stat(self, request: pb.StatSnapshotRequest, call: Call) -> pb.StatSnapshotResponse:
        info = await self._store(request.snapshotter).stat(call.namespace, request.key)
        return pb.StatSnapshotResponse(info=_info(info))

    async def update(self, request: pb.UpdateSnapshotRequest, call: Call) -> pb.UpdateSnapshotResponse:
        store = self._store(request.snapshotter)
        if not request.HasField("info"):
            raise InvalidArgument("update snapshot: info must be set")
        info = await store.update(call.namespace, request.info.name, request.info.labels, request.update_mask.paths)
        return pb.UpdateSnapshotResponse(info=_info(info))

    async def list(self, request: pb.ListSnapshotsRequest, call: Call) -> AsyncIterator[bytes]:
        store = self._store(request.snapshotter)
        try:
            async for wires in store.list_wire(call.namespace, request.filters):
                yield joined(wires)
        except Error as error:
            # The original doesn't say here of which kind an error is; its text ends as that of its kind.
            raise Unknown(error.wire_text()) from error

    async def usage(self, request: pb.UsageRequest, call: Call) -> pb.UsageResponse:
        usage = await self._store(request.snapshotter).usage(call.namespace, request.key)
        return pb.UsageResponse(size=usage.size, inodes=usage.inodes)

    async def cleanup(self, request: pb.CleanupRequest, call: Call) -> Empty:
        self._store(request.snapshotter)
        raise Unimplemented("snapshotter does not implement Cleanup method")

    def _store(self, snapshotter: str) -> SnapshotStore:
        if not snapshotter:
            raise InvalidArgument("snapshotter argument missing")
        store = self._stores.get(snapshotter)
        if store is None:
            raise InvalidArgument(f"snapshotter not loaded: {snapshotter}")
        return store


def _mount(mount: Mount) -> types_pb2.Mount:
    return types_pb2.Mount(type=mount.type, source=mount.source, target=mount.target, options=mount.options)


def _info(info: Info) -> pb.Info:
    return pb.Info(
        name=info.name,
        parent=info.parent,
        kind=_KINDS[info.kind],
        created_at=to_timestamp(info.created_ns),
        updated_at=to_timestamp(info.updated_ns),
        labels=info.labels,
    )


_KINDS: Final[Mapping[int, Any]] = {kind: pb.Kind.Name(kind) for kind in Kind}
