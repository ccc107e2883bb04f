"""`containerd.services.mounts.v1.Mounts`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from google.protobuf.empty_pb2 import Empty

from pycontainerd.activations import codec
from pycontainerd.activations.store import Activations
from pycontainerd.api.containerd.services.mounts import v1_pb2 as mounts_pb2
from pycontainerd.errors import Unimplemented
from pycontainerd.metadata.joining import joined
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service


class MountsService(Service):
    """The activations of the caller's namespace. Filters of lists are ignored, as the original does."""

    contract = mounts_pb2.DESCRIPTOR.services_by_name["Mounts"]

    def __init__(self, activations: Activations) -> None:
        self._activations = activations

    async def activate(self, request: mounts_pb2.ActivateRequest, call: Call) -> bytes:
        activation = await self._activations.activate(
            call.namespace,
            request.name,
            [codec.from_message(mount) for mount in request.mounts],
            said=request.labels,
            temporary=request.temporary,
            lease=call.lease,
        )
        return joined([codec.encode(activation)])

    async def deactivate(self, request: mounts_pb2.DeactivateRequest, call: Call) -> Empty:
        await self._activations.deactivate(call.namespace, request.name)
        return Empty()

    async def info(self, request: mounts_pb2.InfoRequest, call: Call) -> bytes:
        return joined([self._activations.info_wire(call.namespace, request.name)])

    async def update(self, request: mounts_pb2.UpdateRequest, call: Call) -> mounts_pb2.UpdateResponse:
        raise Unimplemented("")  # as the original: an activation is not changed

    async def list(self, request: mounts_pb2.ListRequest, call: Call) -> AsyncIterator[bytes]:
        for wire in await self._activations.list_wire(call.namespace):
            yield joined([wire])
