"""Leases: what they hold is kept from the collector until they end."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Mapping, Sequence
from typing import Final

from pycontainerd.api.containerd.services.leases import v1_pb2 as leases_pb2
from pycontainerd.client.session import Api
from pycontainerd.rpc.service import methods_of

_METHODS: Final = methods_of(leases_pb2.DESCRIPTOR.services_by_name["Leases"])

EXPIRE_LABEL: Final = "containerd.io/gc.expire"


def random_id() -> str:
    """`<nanosecond part of now>-<4 characters>`, as clients name leases."""
    return f"{time.time_ns() % 1_000_000_000}-{base64.urlsafe_b64encode(os.urandom(3)).decode()}"


class Leases(Api):
    """The leases of a namespace."""

    __slots__ = ()

    async def create(
        self, lease_id: str = "", *, labels: Mapping[str, str] | None = None, lifetime_s: float = 0
    ) -> leases_pb2.Lease:
        """Makes a lease, by a random name if it has none; it ends after *lifetime_s* seconds, or never for 0.

        Raises AlreadyExists.
        """
        all_labels = dict(labels or {})
        if lifetime_s:
            end = time.gmtime(time.time() + lifetime_s)
            all_labels[EXPIRE_LABEL] = time.strftime("%Y-%m-%dT%H:%M:%SZ", end)
        request = leases_pb2.CreateRequest(id=lease_id or random_id(), labels=all_labels)
        reply: leases_pb2.CreateResponse = await self._session.unary(_METHODS["create"], request)
        return reply.lease

    async def delete(self, lease_id: str, *, sync: bool = False) -> None:
        """Ends a lease; with *sync* returns when the collector has run. Raises NotFound."""
        await self._session.unary(_METHODS["delete"], leases_pb2.DeleteRequest(id=lease_id, sync=sync))

    async def list(self, *filters: str) -> list[leases_pb2.Lease]:
        """The leases that one of *filters* matches, all without a filter."""
        request = leases_pb2.ListRequest(filters=filters)
        reply: leases_pb2.ListResponse = await self._session.unary(_METHODS["list"], request)
        return list(reply.leases)

    async def resources(self, lease_id: str) -> Sequence[leases_pb2.Resource]:
        """What a lease holds. Raises NotFound."""
        request = leases_pb2.ListResourcesRequest(id=lease_id)
        reply: leases_pb2.ListResourcesResponse = await self._session.unary(_METHODS["list_resources"], request)
        return list(reply.resources)
