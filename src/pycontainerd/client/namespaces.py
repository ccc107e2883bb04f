"""Namespaces: worlds of their own within one daemon."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from pycontainerd.api.containerd.services.namespaces import v1_pb2 as namespaces_pb2
from pycontainerd.client.session import Api
from pycontainerd.rpc.service import methods_of

_METHODS: Final = methods_of(namespaces_pb2.DESCRIPTOR.services_by_name["Namespaces"])


class Namespaces(Api):
    """All namespaces of a daemon."""

    __slots__ = ()

    async def get(self, name: str) -> namespaces_pb2.Namespace:
        """Raises NotFound."""
        request = namespaces_pb2.GetNamespaceRequest(name=name)
        reply: namespaces_pb2.GetNamespaceResponse = await self._session.unary(_METHODS["get"], request)
        return reply.namespace

    async def list(self) -> list[namespaces_pb2.Namespace]:
        """All, sorted by name."""
        request = namespaces_pb2.ListNamespacesRequest()
        reply: namespaces_pb2.ListNamespacesResponse = await self._session.unary(_METHODS["list"], request)
        return list(reply.namespaces)

    async def create(self, name: str, labels: Mapping[str, str] | None = None) -> None:
        """Raises AlreadyExists."""
        namespace = namespaces_pb2.Namespace(name=name, labels=labels)
        await self._session.unary(_METHODS["create"], namespaces_pb2.CreateNamespaceRequest(namespace=namespace))

    async def update(self, name: str, labels: Mapping[str, str], paths: Iterable[str] = ()) -> None:
        """Changes the labels that *paths* name (`labels.<key>`), all without paths; an empty value removes.

        Raises NotFound.
        """
        request = namespaces_pb2.UpdateNamespaceRequest(namespace=namespaces_pb2.Namespace(name=name, labels=labels))
        request.update_mask.paths.extend(paths)
        await self._session.unary(_METHODS["update"], request)

    async def set_label(self, name: str, key: str, value: str) -> None:
        """Sets one label, or removes it if *value* is empty. Raises NotFound."""
        await self.update(name, {key: value}, [f"labels.{key}"])

    async def delete(self, name: str) -> None:
        """Raises NotFound; FailedPrecondition if something is left in it."""
        await self._session.unary(_METHODS["delete"], namespaces_pb2.DeleteNamespaceRequest(name=name))
