"""The Diff service: wire in, store call, wire out. `Diff`, which makes layers, is not part of it yet."""

from __future__ import annotations

from typing import ClassVar

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.diff import v1_pb2 as pb
from pycontainerd.diff.store import Differs
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
            [Mount(mount.type, mount.source, mount.target, tuple(mount.options)) for mount in request.mounts],
            sync_fs=request.sync_fs,
            payloads={key: value.SerializeToString() for key, value in request.payloads.items()},
        )
        return pb.ApplyResponse(
            applied=types_pb2.Descriptor(media_type=applied.media_type, digest=applied.digest, size=applied.size)
        )
