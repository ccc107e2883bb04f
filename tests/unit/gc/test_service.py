"""The service on the collector: what clients are answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pycontainerd.api.pycontainerd.services.gc import v1_pb2 as gc_pb2
from pycontainerd.errors import FailedPrecondition, InvalidArgument, NotFound
from pycontainerd.gc.measuring import Measuring
from pycontainerd.gc.service import GarbageCollectorService
from pycontainerd.images.model import Image, Target
from pycontainerd.metadata import kinds, objects
from pycontainerd.metadata.gc.collector import Collector, Stats
from pycontainerd.metadata.transaction import Transaction
from pycontainerd.rpc.call import Call
from pycontainerd.snapshots.model import Kind, Usage
from tests.harness.stores import Stores, with_stores

CALL = Call("", (("containerd-namespace", "ns"),))
DIGEST = "sha256:" + "a" * 64
LEASE = {"containerd.io/gc.expire": "2001-01-01T00:00:00Z"}


class Schedule:
    """A schedule that collects at once."""

    def __init__(self, stores: Stores) -> None:
        self._collector = Collector(stores.database, stores.clock)
        self.rest_s: float | None = None

    async def collected(self) -> Stats:
        return await self._collector.run()

    def next_run_s(self) -> float | None:
        return self.rest_s


class Backend:
    """A snapshotter with two active snapshots, one of which goes before it is measured."""

    async def usage(self, key: str) -> Usage:
        if key == "ns/2/gone":
            raise NotFound(f"snapshot {key} does not exist")
        return Usage(size=5000, inodes=2)


def with_service(directory: Path, test: Callable[[GarbageCollectorService, Stores, Schedule], Awaitable[None]]) -> None:
    async def main(stores: Stores) -> None:
        schedule = Schedule(stores)
        measuring = Measuring(stores.database, {"overlayfs": Backend()})
        await test(GarbageCollectorService(stores.database, schedule, stores.clock, measuring), stores, schedule)

    with_stores(directory, main)


@pytest.mark.parametrize("rest_s", [None, 0.0, 2.5])
def test_an_explanation_says_when_the_next_collection_is(rest_s: float | None, scratch: Path) -> None:
    async def test(service: GarbageCollectorService, stores: Stores, schedule: Schedule) -> None:
        schedule.rest_s = rest_s
        await stores.leases.create("ns", "gone", LEASE)
        reply = await service.explain(gc_pb2.ExplainRequest(name="gone"), CALL)
        assert [(len(found.chain), found.object.kind) for found in reply.explanations] == [(0, "leases")]
        assert reply.HasField("next_run") == (rest_s is not None)
        assert reply.next_run.ToNanoseconds() == (rest_s or 0) * 1_000_000_000

    with_service(scratch, test)


def test_a_root_that_expires_is_told_with_its_time(scratch: Path) -> None:
    async def test(service: GarbageCollectorService, stores: Stores, schedule: Schedule) -> None:
        said = {"containerd.io/gc.expire": "2033-05-18T03:33:20Z"}
        await stores.images.create("ns", Image("i", Target("m/t", DIGEST, 1), said))
        await stores.images.create("ns", Image("j", Target("m/t", DIGEST, 1)))
        (found,) = (await service.explain(gc_pb2.ExplainRequest(name="i", kind="images"), CALL)).explanations
        assert (found.root, found.roots, found.expires_at.seconds) == ("image", 1, 2_000_000_000)
        (found,) = (await service.explain(gc_pb2.ExplainRequest(name="j"), CALL)).explanations
        assert not found.HasField("expires_at")

    with_service(scratch, test)


def test_what_cant_be_explained_is_an_error(scratch: Path) -> None:
    async def test(service: GarbageCollectorService, stores: Stores, schedule: Schedule) -> None:
        for kind, request, call in (
            (NotFound, gc_pb2.ExplainRequest(name="i"), CALL),
            (NotFound, gc_pb2.ExplainRequest(name="ns", kind="namespaces"), CALL),
            (InvalidArgument, gc_pb2.ExplainRequest(), CALL),
            (FailedPrecondition, gc_pb2.ExplainRequest(name="i"), Call("")),
        ):
            with pytest.raises(kind):
                await service.explain(request, call)

    with_service(scratch, test)


def test_a_run_removes_what_a_dry_run_shows(scratch: Path) -> None:
    async def test(service: GarbageCollectorService, stores: Stores, schedule: Schedule) -> None:
        for namespace in ("ns", "other"):
            await stores.leases.create(namespace, "gone", LEASE)
        would = await service.dry_run(gc_pb2.DryRunRequest(), CALL)
        assert [(each.namespace, each.kind, each.name) for each in would.objects] == [
            ("ns", "leases", "gone"),
            ("other", "leases", "gone"),
        ]
        assert len(await stores.leases.list("ns")) == 1
        done = await service.run(gc_pb2.RunRequest(), CALL)
        assert (done.removed, done.spared, done.freed) == (2, 0, 0)
        assert not (await service.dry_run(gc_pb2.DryRunRequest(), CALL)).objects

    with_service(scratch, test)


def test_usage_is_of_the_namespace_or_of_all(scratch: Path) -> None:
    async def test(service: GarbageCollectorService, stores: Stores, schedule: Schedule) -> None:
        for namespace in ("ns", "other"):
            await stores.images.create(namespace, Image("i", Target("m/t", DIGEST, 1)))
        usage = await service.disk_usage(gc_pb2.DiskUsageRequest(), CALL)
        assert [(each.namespace, each.name) for each in usage.images] == [("ns", "i")]
        usage = await service.disk_usage(gc_pb2.DiskUsageRequest(all=True), Call(""))
        assert [each.namespace for each in usage.images] == ["ns", "other"]

    with_service(scratch, test)


def test_active_snapshots_count_with_what_they_take_now(scratch: Path) -> None:
    def fill(tx: Transaction) -> None:
        rows = ((1, "active", Kind.ACTIVE), (2, "gone", Kind.ACTIVE), (3, "base", Kind.COMMITTED))
        for number, name, kind in rows:
            id_ = objects.insert(tx, "ns", kinds.snapshots("overlayfs"), name)
            backend = f"ns/{number}/{name}"
            tx.execute("INSERT INTO snapshots (id, snapshotter, backend) VALUES (?, 'overlayfs', ?)", (id_, backend))
            tx.execute(
                "INSERT INTO backend_snapshots (snapshotter, id, key, kind, created_ns, updated_ns, size)"
                " VALUES ('overlayfs', ?, ?, ?, 0, 0, ?)",
                (number, backend, int(kind), 70 if kind is Kind.COMMITTED else 0),
            )

    async def test(service: GarbageCollectorService, stores: Stores, schedule: Schedule) -> None:
        await stores.database.write(fill)
        usage = await service.disk_usage(gc_pb2.DiskUsageRequest(), CALL)
        assert (usage.snapshots, usage.reclaimable) == (5070, 5070)
        sizes = {each.name: each.size for each in (await service.dry_run(gc_pb2.DryRunRequest(), CALL)).objects}
        assert sizes == {"active": 5000, "gone": 0, "base": 70}

    with_service(scratch, test)
