"""`containerd.services.containers.v1.Containers`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.containerd.services.containers import v1_pb2 as containers_pb2
from pycontainerd.containers import codec
from pycontainerd.containers.model import Container
from pycontainerd.containers.store import ContainerStore
from pycontainerd.errors import InvalidArgument
from pycontainerd.metadata.joining import joined
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service


class ContainersService(Service):
    """The containers of the caller's namespace. Replies are the stored bytes."""

    contract = containers_pb2.DESCRIPTOR.services_by_name["Containers"]

    def __init__(self, containers: ContainerStore) -> None:
        self._containers = containers

    async def get(self, request: containers_pb2.GetContainerRequest, call: Call) -> bytes:
        return joined([self._containers.get_wire(call.namespace, request.id)])

    async def list(self, request: containers_pb2.ListContainersRequest, call: Call) -> bytes:
        return await self._containers.list_made(call.namespace, request.filters, joined)

    async def list_stream(self, request: containers_pb2.ListContainersRequest, call: Call) -> AsyncIterator[bytes]:
        for wire in await self._containers.list_made(call.namespace, request.filters, list):
            yield joined([wire])

    async def create(self, request: containers_pb2.CreateContainerRequest, call: Call) -> bytes:
        container = _sent(request)
        return joined([(await self._containers.create(call.namespace, container)).wire])

    async def update(self, request: containers_pb2.UpdateContainerRequest, call: Call) -> bytes:
        container = _sent(request)
        if not container.id:
            raise InvalidArgument("Container.ID required", bare=True)
        changed = await self._containers.update(call.namespace, container, request.update_mask.paths)
        return joined([changed.wire])

    async def delete(self, request: containers_pb2.DeleteContainerRequest, call: Call) -> Empty:
        await self._containers.delete(call.namespace, request.id)
        return Empty()


def _sent(request: containers_pb2.CreateContainerRequest | containers_pb2.UpdateContainerRequest) -> Container:
    if not request.HasField("container"):
        raise InvalidArgument("the request has no container")
    return codec.from_message(request.container)
