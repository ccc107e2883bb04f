"""Snapshots: layers of file systems, and what containers write on top of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.snapshots import v1_pb2 as snapshots_pb2
from pycontainerd.client.session import Api, Session, received
from pycontainerd.errors import NotFound
from pycontainerd.rpc.service import methods_of

_METHODS: Final = methods_of(snapshots_pb2.DESCRIPTOR.services_by_name["Snapshots"])


class Snapshots(Api):
    """The snapshots of a namespace in one snapshotter."""

    __slots__ = ("snapshotter",)

    def __init__(self, session: Session, snapshotter: str) -> None:
        super().__init__(session)
        self.snapshotter = snapshotter

    async def prepare(
        self, key: str, parent: str = "", labels: Mapping[str, str] | None = None
    ) -> list[types_pb2.Mount]:
        """Makes a writable snapshot on *parent* and returns its mounts. Raises AlreadyExists, NotFound."""
        request = snapshots_pb2.PrepareSnapshotRequest(
            snapshotter=self.snapshotter, key=key, parent=parent, labels=labels
        )
        reply: snapshots_pb2.PrepareSnapshotResponse = await self._session.unary(_METHODS["prepare"], request)
        return list(reply.mounts)

    async def view(self, key: str, parent: str = "", labels: Mapping[str, str] | None = None) -> list[types_pb2.Mount]:
        """Makes a read-only snapshot of *parent* and returns its mounts. Raises AlreadyExists, NotFound."""
        request = snapshots_pb2.ViewSnapshotRequest(snapshotter=self.snapshotter, key=key, parent=parent, labels=labels)
        reply: snapshots_pb2.ViewSnapshotResponse = await self._session.unary(_METHODS["view"], request)
        return list(reply.mounts)

    async def commit(self, name: str, key: str, labels: Mapping[str, str] | None = None) -> None:
        """Makes of the writable snapshot *key* the committed one *name*. Raises AlreadyExists, NotFound."""
        request = snapshots_pb2.CommitSnapshotRequest(snapshotter=self.snapshotter, name=name, key=key, labels=labels)
        await self._session.unary(_METHODS["commit"], request)

    async def mounts(self, key: str) -> list[types_pb2.Mount]:
        """How to mount a snapshot. Raises NotFound."""
        request = snapshots_pb2.MountsRequest(snapshotter=self.snapshotter, key=key)
        reply: snapshots_pb2.MountsResponse = await self._session.unary(_METHODS["mounts"], request)
        return list(reply.mounts)

    async def stat(self, key: str) -> snapshots_pb2.Info:
        """Raises NotFound."""
        request = snapshots_pb2.StatSnapshotRequest(snapshotter=self.snapshotter, key=key)
        reply: snapshots_pb2.StatSnapshotResponse = await self._session.unary(_METHODS["stat"], request)
        return reply.info

    async def exists(self, key: str) -> bool:
        """Whether there is a snapshot *key*."""
        try:
            await self.stat(key)
        except NotFound:
            return False
        return True

    async def update(self, info: snapshots_pb2.Info, paths: Iterable[str] = ()) -> snapshots_pb2.Info:
        """Changes the members that *paths* name, all without paths. Raises NotFound."""
        request = snapshots_pb2.UpdateSnapshotRequest(snapshotter=self.snapshotter, info=info)
        request.update_mask.paths.extend(paths)
        reply: snapshots_pb2.UpdateSnapshotResponse = await self._session.unary(_METHODS["update"], request)
        return reply.info

    async def usage(self, key: str) -> snapshots_pb2.UsageResponse:
        """Bytes and inodes that a snapshot itself takes. Raises NotFound."""
        request = snapshots_pb2.UsageRequest(snapshotter=self.snapshotter, key=key)
        reply: snapshots_pb2.UsageResponse = await self._session.unary(_METHODS["usage"], request)
        return reply

    async def list(self, *filters: str) -> list[snapshots_pb2.Info]:
        """The snapshots that one of *filters* matches, all without a filter."""
        request = snapshots_pb2.ListSnapshotsRequest(snapshotter=self.snapshotter, filters=filters)
        found: list[snapshots_pb2.Info] = []
        async with self._session.stream(_METHODS["list"]) as stream:
            async for part in await received(stream, request):
                found.extend(part.info)
        return found

    async def remove(self, key: str) -> None:
        """Raises NotFound; FailedPrecondition if others are based on it."""
        request = snapshots_pb2.RemoveSnapshotRequest(snapshotter=self.snapshotter, key=key)
        await self._session.unary(_METHODS["remove"], request)
