"""`containerd.services.leases.v1.Leases`."""

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.containerd.services.leases import v1_pb2 as leases_pb2
from pycontainerd.errors import InvalidArgument
from pycontainerd.leases.model import Lease
from pycontainerd.leases.store import LeaseStore
from pycontainerd.metadata.times import to_timestamp
from pycontainerd.quoting import quote
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service


class LeasesService(Service):
    """The leases of the caller's namespace."""

    contract = leases_pb2.DESCRIPTOR.services_by_name["Leases"]

    def __init__(self, leases: LeaseStore) -> None:
        self._leases = leases

    async def create(self, request: leases_pb2.CreateRequest, call: Call) -> leases_pb2.CreateResponse:
        lease = await self._leases.create(call.namespace, request.id, request.labels)
        return leases_pb2.CreateResponse(lease=_message(lease))

    async def delete(self, request: leases_pb2.DeleteRequest, call: Call) -> Empty:
        await self._leases.delete(call.namespace, request.id, sync=request.sync)
        return Empty()

    async def list(self, request: leases_pb2.ListRequest, call: Call) -> leases_pb2.ListResponse:
        found = await self._leases.list(call.namespace, request.filters)
        return leases_pb2.ListResponse(leases=map(_message, found))

    async def add_resource(self, request: leases_pb2.AddResourceRequest, call: Call) -> Empty:
        resource = _resource(request)
        await self._leases.add(call.namespace, request.id, resource.type, resource.id)
        return Empty()

    async def delete_resource(self, request: leases_pb2.DeleteResourceRequest, call: Call) -> Empty:
        resource = _resource(request)
        await self._leases.remove(call.namespace, request.id, resource.type, resource.id)
        return Empty()

    async def list_resources(
        self, request: leases_pb2.ListResourcesRequest, call: Call
    ) -> leases_pb2.ListResourcesResponse:
        found = await self._leases.resources(call.namespace, request.id)
        return leases_pb2.ListResourcesResponse(
            resources=[leases_pb2.Resource(id=resource.name, type=resource.kind) for resource in found]
        )


def _resource(request: leases_pb2.AddResourceRequest | leases_pb2.DeleteResourceRequest) -> leases_pb2.Resource:
    if not request.HasField("resource"):
        raise InvalidArgument(f"lease {quote(request.id)}: the request has no resource")
    return request.resource


def _message(lease: Lease) -> leases_pb2.Lease:
    return leases_pb2.Lease(id=lease.id, created_at=to_timestamp(lease.created_ns), labels=lease.labels)
