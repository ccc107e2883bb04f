"""Containers: the records of what may run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pycontainerd.api.containerd.services.containers import v1_pb2 as containers_pb2
from pycontainerd.client.session import Api
from pycontainerd.rpc.service import methods_of

_METHODS: Final = methods_of(containers_pb2.DESCRIPTOR.services_by_name["Containers"])


class Containers(Api):
    """The containers of a namespace."""

    __slots__ = ()

    async def get(self, container_id: str) -> containers_pb2.Container:
        """Raises NotFound."""
        request = containers_pb2.GetContainerRequest(id=container_id)
        reply: containers_pb2.GetContainerResponse = await self._session.unary(_METHODS["get"], request)
        return reply.container

    async def list(self, *filters: str) -> list[containers_pb2.Container]:
        """Those that one of *filters* matches, all without a filter."""
        request = containers_pb2.ListContainersRequest(filters=filters)
        reply: containers_pb2.ListContainersResponse = await self._session.unary(_METHODS["list"], request)
        return list(reply.containers)

    async def create(self, container: containers_pb2.Container) -> containers_pb2.Container:
        """Raises AlreadyExists."""
        request = containers_pb2.CreateContainerRequest(container=container)
        reply: containers_pb2.CreateContainerResponse = await self._session.unary(_METHODS["create"], request)
        return reply.container

    async def update(self, container: containers_pb2.Container, paths: Iterable[str] = ()) -> containers_pb2.Container:
        """Changes the members that *paths* name, all without paths. Raises NotFound."""
        request = containers_pb2.UpdateContainerRequest(container=container)
        request.update_mask.paths.extend(paths)
        reply: containers_pb2.UpdateContainerResponse = await self._session.unary(_METHODS["update"], request)
        return reply.container

    async def delete(self, container_id: str) -> None:
        """Raises NotFound."""
        await self._session.unary(_METHODS["delete"], containers_pb2.DeleteContainerRequest(id=container_id))
