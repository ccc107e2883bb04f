"""`pycontainerd.services.gc.v1.GarbageCollector`."""

from __future__ import annotations

from typing import Protocol

from google.protobuf.duration_pb2 import Duration

from pycontainerd.api.pycontainerd.services.gc import v1_pb2 as gc_pb2
from pycontainerd.clock import Clock
from pycontainerd.errors import InvalidArgument, NotFound
from pycontainerd.gc.measuring import Measuring
from pycontainerd.metadata.database import Database
from pycontainerd.metadata.gc.collector import Stats
from pycontainerd.metadata.gc.explain import Explanation, explain
from pycontainerd.metadata.gc.usage import Item, disk_usage, dying
from pycontainerd.metadata.times import NS, to_timestamp
from pycontainerd.quoting import quote
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service


class Scheduler(Protocol):
    """What the service needs of the collector's schedule."""

    async def collected(self) -> Stats:
        """Returns when a collection that began after this call has ended."""

    def next_run_s(self) -> float | None:
        """Seconds until the next collection; None if only an event can bring it."""


class GarbageCollectorService(Service):
    """Explains, tries, runs and counts. Everything but `run` only reads."""

    contract = gc_pb2.DESCRIPTOR.services_by_name["GarbageCollector"]

    def __init__(self, database: Database, scheduler: Scheduler, clock: Clock, measuring: Measuring) -> None:
        self._database = database
        self._scheduler = scheduler
        self._clock = clock
        self._measuring = measuring

    async def explain(self, request: gc_pb2.ExplainRequest, call: Call) -> gc_pb2.ExplainResponse:
        namespace, now_ns = call.namespace, self._clock.now_ns()
        if not request.name:
            raise InvalidArgument("the request has no name")
        found = await self._database.read(
            lambda connection: explain(connection, namespace, request.kind, request.name, now_ns)
        )
        if not found:
            raise NotFound(f"{request.kind or 'object'} {quote(request.name)} in namespace {quote(namespace)}")
        next_run_s = self._scheduler.next_run_s()
        return gc_pb2.ExplainResponse(
            explanations=map(_explanation, found),
            next_run=None if next_run_s is None else _duration(next_run_s),
        )

    async def dry_run(self, request: gc_pb2.DryRunRequest, call: Call) -> gc_pb2.DryRunResponse:
        going, size = await self._dying()
        return gc_pb2.DryRunResponse(objects=map(_object, going), size=size)

    async def run(self, request: gc_pb2.RunRequest, call: Call) -> gc_pb2.RunResponse:
        _, size = await self._dying()
        stats = await self._scheduler.collected()
        return gc_pb2.RunResponse(removed=stats.removed, spared=stats.spared, took=_duration(stats.pause_s), freed=size)

    async def disk_usage(self, request: gc_pb2.DiskUsageRequest, call: Call) -> gc_pb2.DiskUsageResponse:
        namespace = None if request.all else call.namespace
        measured, now_ns = await self._measuring.sizes(), self._clock.now_ns()
        usage = await self._database.read(lambda connection: disk_usage(connection, namespace, now_ns, measured))
        return gc_pb2.DiskUsageResponse(
            images=[
                gc_pb2.ImageUsage(
                    namespace=each.image.namespace,
                    name=each.image.name,
                    compressed=each.compressed,
                    unpacked=each.unpacked,
                    shared=each.shared,
                    unique=each.unique,
                )
                for each in usage.images
            ],
            content=usage.content,
            snapshots=usage.snapshots,
            reclaimable=usage.reclaimable,
        )

    async def _dying(self) -> tuple[list[Item], int]:
        measured, now_ns = await self._measuring.sizes(), self._clock.now_ns()
        return await self._database.read(lambda connection: dying(connection, now_ns, measured))


def _explanation(found: Explanation) -> gc_pb2.Explanation:
    return gc_pb2.Explanation(
        object=_object(found.item),
        chain=[gc_pb2.Step(object=_object(link.item), by=link.by) for link in found.chain],
        root=found.root,
        expires_at=None if found.expires_ns is None else to_timestamp(found.expires_ns),
        roots=found.roots,
    )


def _object(item: Item) -> gc_pb2.Object:
    return gc_pb2.Object(namespace=item.namespace, kind=item.kind, name=item.name, size=item.size)


def _duration(seconds: float) -> Duration:
    ns = int(seconds * NS)
    return Duration(seconds=ns // NS, nanos=ns % NS)
