"""The Diff service: wire in, store call, wire out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.diff import v1_pb2 as pb
from pycontainerd.diff.store import Comparison, Differs
from pycontainerd.errors import Error, InvalidArgument
from pycontainerd.mounts.model import Mount
from pycontainerd.oci.image import Descriptor
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service


class DiffService(Service):
    """`containerd.services.diff.v1.Diff`"""

    contract: ClassVar = pb.DESCRIPTOR.services_by_name["Diff"]

    def __init__(self, differs: Differs) -> None:
        self._differs = differs

    async def apply(self, request: pb.ApplyRequest, call: Call) -> pb.ApplyResponse:
        if not request.HasField("diff"):
            raise InvalidArgument("apply of a layer: the request has no diff")
        try:
            namespace = call.namespace
        except Error as error:
            raise error.within("failed to get reader from content store") from None
        applied = await self._differs.apply(
            namespace,
            Descriptor(request.diff.media_type, request.diff.digest, request.diff.size),
            _mounts(request.mounts),
            sync_fs=request.sync_fs,
            payloads={key: value.SerializeToString() for key, value in request.payloads.items()},
        )
        return pb.ApplyResponse(applied=_descriptor(applied))

    async def diff(self, request: pb.DiffRequest, call: Call) -> pb.DiffResponse:
        latest_ns = request.source_date_epoch.ToNanoseconds() if request.HasField("source_date_epoch") else None
        made = await self._differs.compare(
            call.namespace,
            _mounts(request.left),
            _mounts(request.right),
            Comparison(request.media_type, request.ref, dict(request.labels), latest_ns),
            lease=call.lease,
        )
        return pb.DiffResponse(diff=_descriptor(made))


def _mounts(mounts: Iterable[types_pb2.Mount]) -> list[Mount]:
    return [Mount(mount.type, mount.source, mount.target, tuple(mount.options)) for mount in mounts]


def _descriptor(layer: Descriptor) -> types_pb2.Descriptor:
    return types_pb2.Descriptor(media_type=layer.media_type, digest=layer.digest, size=layer.size)
