"""`containerd.services.namespaces.v1.Namespaces`."""

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.containerd.services.namespaces import v1_pb2 as namespaces_pb2
from pycontainerd.errors import InvalidArgument
from pycontainerd.namespaces.model import Namespace
from pycontainerd.namespaces.store import NamespaceStore
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service


class NamespacesService(Service):
    """All namespaces; these calls need none themselves."""

    contract = namespaces_pb2.DESCRIPTOR.services_by_name["Namespaces"]

    def __init__(self, namespaces: NamespaceStore) -> None:
        self._namespaces = namespaces

    async def create(
        self, request: namespaces_pb2.CreateNamespaceRequest, call: Call
    ) -> namespaces_pb2.CreateNamespaceResponse:
        sent = _sent(request)
        await self._namespaces.create(sent.name, sent.labels)
        return namespaces_pb2.CreateNamespaceResponse(namespace=sent)

    async def get(self, request: namespaces_pb2.GetNamespaceRequest, call: Call) -> namespaces_pb2.GetNamespaceResponse:
        return namespaces_pb2.GetNamespaceResponse(namespace=_message(self._namespaces.get(request.name)))

    async def list(
        self, request: namespaces_pb2.ListNamespacesRequest, call: Call
    ) -> namespaces_pb2.ListNamespacesResponse:
        found = await self._namespaces.list()
        return namespaces_pb2.ListNamespacesResponse(namespaces=map(_message, found))

    async def update(
        self, request: namespaces_pb2.UpdateNamespaceRequest, call: Call
    ) -> namespaces_pb2.UpdateNamespaceResponse:
        sent = _sent(request)
        await self._namespaces.update(sent.name, sent.labels, request.update_mask.paths)
        return namespaces_pb2.UpdateNamespaceResponse()

    async def delete(self, request: namespaces_pb2.DeleteNamespaceRequest, call: Call) -> Empty:
        await self._namespaces.delete(request.name)
        return Empty()


def _sent(
    request: namespaces_pb2.CreateNamespaceRequest | namespaces_pb2.UpdateNamespaceRequest,
) -> namespaces_pb2.Namespace:
    if not request.HasField("namespace"):
        raise InvalidArgument("the request has no namespace")
    return request.namespace


def _message(namespace: Namespace) -> namespaces_pb2.Namespace:
    return namespaces_pb2.Namespace(name=namespace.name, labels=namespace.labels)
