"""The collector of this daemon: what keeps an object, what would go, what takes how much."""

from __future__ import annotations

from typing import Final

from pycontainerd.api.pycontainerd.services.gc import v1_pb2 as gc_pb2
from pycontainerd.client.session import Api
from pycontainerd.rpc.service import methods_of

_METHODS: Final = methods_of(gc_pb2.DESCRIPTOR.services_by_name["GarbageCollector"])


class GarbageCollector(Api):
    """The collector; a daemon that is not ours answers Unimplemented."""

    __slots__ = ()

    async def explain(self, name: str, *, kind: str = "") -> gc_pb2.ExplainResponse:
        """What keeps the objects of *name*, or of a digest that begins so. Raises NotFound."""
        reply: gc_pb2.ExplainResponse = await self._session.unary(
            _METHODS["explain"], gc_pb2.ExplainRequest(kind=kind, name=name)
        )
        return reply

    async def dry_run(self) -> gc_pb2.DryRunResponse:
        """What a collection would remove now."""
        reply: gc_pb2.DryRunResponse = await self._session.unary(_METHODS["dry_run"], gc_pb2.DryRunRequest())
        return reply

    async def run(self) -> gc_pb2.RunResponse:
        """Collects; returns when that is done."""
        reply: gc_pb2.RunResponse = await self._session.unary(_METHODS["run"], gc_pb2.RunRequest())
        return reply

    async def disk_usage(self, *, all_namespaces: bool = False) -> gc_pb2.DiskUsageResponse:
        """What images take, those of this namespace or all, and the whole store."""
        reply: gc_pb2.DiskUsageResponse = await self._session.unary(
            _METHODS["disk_usage"], gc_pb2.DiskUsageRequest(all=all_namespaces)
        )
        return reply
