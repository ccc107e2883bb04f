"""The namespaces' view of snapshots: remote targets, what is undone when a backend fails, what is collected."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path

import pytest

from pycontainerd.errors import AlreadyExists, Error, InvalidArgument, NotFound, Unavailable, Unknown
from pycontainerd.ids import RandomIds
from pycontainerd.leases.store import LeaseStore
from pycontainerd.metadata import filters
from pycontainerd.metadata.database import Database
from pycontainerd.mounts.model import Mount
from pycontainerd.snapshots.backend import Also
from pycontainerd.snapshots.local import LocalSnapshotter
from pycontainerd.snapshots.model import LABEL_PREFIX, LABEL_TARGET, Info, Kind, Mounts, Usage
from pycontainerd.snapshots.native import native
from pycontainerd.snapshots.overlayfs import LABEL_UPPER, overlayfs
from pycontainerd.snapshots.store import SnapshotStore
from pycontainerd.threads import Threads
from tests.harness.clocks import ManualClock
from tests.harness.stores import Published


class Remote:
    """A backend elsewhere: it has layers before anybody prepares them, and may fail."""

    capabilities: frozenset[str] = frozenset()
    keeps_labels = False

    def __init__(self, known: Sequence[Info] = (), failure: Error | None = None) -> None:
        self.known = {info.name: info for info in known}
        self.failure = failure
        self.removed: list[str] = []
        self.entered = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    def bind(self, database: Database) -> None:
        self._database = database

    async def prepare(
        self, key: str, parent: str, labels: Mapping[str, str], *, view: bool = False, also: Also | None = None
    ) -> Mounts:
        self.entered.set()
        await self.go.wait()
        if self.failure is not None:
            raise self.failure
        self.known[key] = Info(key, Kind.ACTIVE, parent, 0, 0, dict(labels))
        if also is not None:
            await self._database.write(also)
        return (Mount("bind", key),)

    async def stat(self, key: str) -> Info:
        return self.known[key]

    async def find_committed(self, label: str, value: str, namespace: str) -> Sequence[Info]:
        return [info for info in self.known.values() if info.labels.get(label) == value]

    async def keys(self, among: Collection[str] | None = None) -> Sequence[str]:
        return [key for key in self.known if among is None or key in among]

    async def remove(self, key: str) -> None:
        self.removed.append(key)
        del self.known[key]

    async def cleanup(self) -> None:
        self.removed.append("cleanup")

    async def infos(self, keys: Sequence[str]) -> Mapping[str, Info]:
        return {key: self.known[key] for key in keys if key in self.known}

    async def update(self, key: str, labels: Mapping[str, str]) -> Info:
        return self.known[key]

    async def usage(self, key: str) -> Usage:
        return Usage()

    async def mounts(self, key: str) -> Mounts:
        return ()

    async def commit(
        self, name: str, key: str, labels: Mapping[str, str], *, parent: str = "", also: Also | None = None
    ) -> None:
        self.known[name] = Info(name, Kind.COMMITTED, self.known.pop(key).parent, 0, 0, dict(labels))
        if also is not None:
            await self._database.write(also)


def run(scratch: Path, body: Callable[[Database, LeaseStore, Published], Awaitable[None]]) -> None:
    async def main() -> None:
        with Database.open(scratch / "meta.sqlite", ManualClock(), sync=False) as database:
            leases = LeaseStore(database, RandomIds())
            await leases.create("ns", "l", {})
            await body(database, leases, Published())

    asyncio.run(main())


def over(
    backend: Remote | LocalSnapshotter, database: Database, leases: LeaseStore, events: Published
) -> SnapshotStore:
    backend.bind(database)
    return SnapshotStore("test", backend, database, leases, events)


async def held(leases: LeaseStore) -> list[str]:
    return [resource.name for resource in await leases.resources("ns", "l")]


def remote(name: str, parent: str = "") -> Info:
    return Info(name, Kind.COMMITTED, parent, 5, 6, {LABEL_TARGET: "layer"})


def test_a_layer_that_the_backend_has_is_adopted_instead_of_prepared(scratch: Path) -> None:
    async def body(database: Database, leases: LeaseStore, events: Published) -> None:
        store = over(Remote([remote("elsewhere")], AlreadyExists("layer")), database, leases, events)
        with pytest.raises(AlreadyExists, match='target snapshot "layer"'):
            await store.prepare("ns", "key", "", {LABEL_TARGET: "layer", "x": "y"}, lease="l")
        info = await store.stat("ns", "layer")
        assert (info.kind, info.parent) == (Kind.COMMITTED, "")
        assert await held(leases) == ["layer"]
        with pytest.raises(NotFound):
            await store.stat("ns", "key")
        assert events.topics == []

    run(scratch, body)


class Looking(Remote):
    """A backend that is slow to find and to remove."""

    def __init__(self, known: Sequence[Info]) -> None:
        super().__init__(known, AlreadyExists("known"))
        self.busy, self.done = asyncio.Event(), asyncio.Event()

    async def find_committed(self, label: str, value: str, namespace: str) -> Sequence[Info]:
        found = await super().find_committed(label, value, namespace)
        self.busy.set()
        await self.done.wait()
        return found

    async def remove(self, key: str) -> None:
        self.busy.set()
        await self.done.wait()
        await super().remove(key)


@pytest.mark.parametrize("adopts_first", [True, False])
def test_a_layer_is_adopted_or_collected_never_both(scratch: Path, *, adopts_first: bool) -> None:
    async def body(database: Database, leases: LeaseStore, events: Published) -> None:
        backend = Looking([remote("theirs")])
        store = over(backend, database, leases, events)

        async def adopt() -> str:
            try:
                await store.prepare("ns", "key", "", {LABEL_TARGET: "layer"}, lease="l")
            except Error as error:
                return type(error).__name__
            return "prepared"

        async with asyncio.TaskGroup() as group:
            works = [adopt, store.collect] if adopts_first else [store.collect, adopt]
            tasks = []
            for work in works:
                tasks.append(group.create_task(work()))
                await backend.busy.wait()
            # Time for the second to come as far as it can.
            await database.read(lambda connection: None)
            backend.done.set()
        answer = tasks[0 if adopts_first else 1].result()
        assert answer == ("AlreadyExists" if adopts_first else "NotFound")
        assert ("theirs" in backend.known) == adopts_first
        if adopts_first:
            assert (await store.stat("ns", "layer")).name == "layer"

    run(scratch, body)


@pytest.mark.parametrize(
    ("known", "labels", "kind"),
    [
        ([], {LABEL_TARGET: "layer"}, NotFound),
        ([remote("elsewhere", "other")], {LABEL_TARGET: "layer"}, InvalidArgument),
        ([remote("elsewhere")], {}, Unknown),
    ],
)
def test_a_layer_that_does_not_fit_is_not_adopted(
    scratch: Path, known: list[Info], labels: dict[str, str], kind: type[Error]
) -> None:
    async def body(database: Database, leases: LeaseStore, events: Published) -> None:
        store = over(Remote(known, AlreadyExists("layer")), database, leases, events)
        with pytest.raises(kind):
            await store.prepare("ns", "key", "", labels, lease="l")
        assert [batch async for batch in store.list_snapshots("ns")] == []
        assert await held(leases) == []

    run(scratch, body)


def test_what_a_backend_fails_to_make_leaves_no_name(scratch: Path) -> None:
    async def body(database: Database, leases: LeaseStore, events: Published) -> None:
        backend = Remote(failure=Unavailable("away"))
        store = over(backend, database, leases, events)
        with pytest.raises(Unavailable):
            await store.prepare("ns", "key", lease="l")
        assert await held(leases) == []
        backend.failure = None
        await store.prepare("ns", "key")
        assert events.topics == ["/snapshot/prepare"]

    run(scratch, body)


def test_a_name_is_taken_while_its_snapshot_is_made_but_not_seen(scratch: Path) -> None:
    async def body(database: Database, leases: LeaseStore, events: Published) -> None:
        backend = Remote()
        backend.go.clear()
        store = over(backend, database, leases, events)
        async with asyncio.TaskGroup() as group:
            making = group.create_task(store.prepare("ns", "key"))
            await backend.entered.wait()
            with pytest.raises(AlreadyExists):
                await store.prepare("ns", "key")
            with pytest.raises(NotFound):
                await store.stat("ns", "key")
            backend.go.set()
            await making
        assert (await store.stat("ns", "key")).kind is Kind.ACTIVE

    run(scratch, body)


def test_a_cancelled_preparation_leaves_no_name(scratch: Path) -> None:
    async def body(database: Database, leases: LeaseStore, events: Published) -> None:
        backend = Remote()
        backend.go.clear()
        store = over(backend, database, leases, events)
        async with asyncio.TaskGroup() as group:
            making = group.create_task(store.prepare("ns", "key", lease="l"))
            await backend.entered.wait()
            making.cancel()
        assert await held(leases) == []
        backend.go.set()
        await store.prepare("ns", "key")

    run(scratch, body)


def cancel_at_commit(database: Database, number: int, calls: list[asyncio.Task[object]]) -> None:
    """Cancels the first of *calls* when the commit of that number from here on is done and not yet told."""
    left = [number]

    def committed(_: object) -> None:
        left[0] -= 1
        if not left[0]:
            calls[0].cancel()

    database.listen(committed)


def test_a_preparation_that_is_cancelled_when_it_is_done_stands(scratch: Path) -> None:
    async def body(database: Database, leases: LeaseStore, events: Published) -> None:
        with Threads("snapshots", most=2) as threads:
            store = over(overlayfs(scratch / "o", threads), database, leases, events)
            calls: list[asyncio.Task[object]] = []
            cancel_at_commit(database, 2, calls)
            async with asyncio.TaskGroup() as group:
                calls.append(group.create_task(store.prepare("ns", "key", lease="l")))
            assert calls[0].cancelled()
            assert len(await store.mounts("ns", "key")) == 1
            assert os.listdir(scratch / "o/snapshots") == ["1"]
            assert await held(leases) == ["key"]
            assert events.topics == ["/snapshot/prepare"]

    run(scratch, body)


def test_a_commit_that_is_cancelled_when_it_is_done_stands(scratch: Path) -> None:
    async def body(database: Database, leases: LeaseStore, events: Published) -> None:
        with Threads("snapshots", most=2) as threads:
            store = over(overlayfs(scratch / "o", threads), database, leases, events)
            await store.prepare("ns", "key")
            calls: list[asyncio.Task[object]] = []
            cancel_at_commit(database, 2, calls)
            async with asyncio.TaskGroup() as group:
                calls.append(group.create_task(store.commit("ns", "layer", "key", lease="l")))
            assert calls[0].cancelled()
            assert (await store.stat("ns", "layer")).kind is Kind.COMMITTED
            assert await held(leases) == ["layer"]
            await store.prepare("ns", "next", "layer")

    run(scratch, body)


def test_only_what_no_row_needs_is_collected(scratch: Path) -> None:
    async def body(database: Database, leases: LeaseStore, events: Published) -> None:
        backend = Remote([remote("orphan")])
        store = over(backend, database, leases, events)
        await store.prepare("ns", "kept")
        backend.go.clear()
        backend.entered.clear()
        async with asyncio.TaskGroup() as group:
            making = group.create_task(store.prepare("ns", "coming"))
            await backend.entered.wait()
            await store.collect()
            backend.go.set()
            await making
        assert backend.removed == ["orphan", "cleanup"]
        await store.remove("ns", "kept")
        await store.collect()
        assert list(backend.known) == ["ns/2/coming"]

    run(scratch, body)


def test_a_removed_chain_goes_children_first_with_its_directories(scratch: Path) -> None:
    async def body(database: Database, leases: LeaseStore, events: Published) -> None:
        with Threads("snapshots", most=2) as threads:
            store = over(overlayfs(scratch / "o", threads), database, leases, events)
            parent = ""
            for name in ("a", "b", "c"):
                await store.prepare("ns", f"{name}-active", parent)
                await store.commit("ns", name, f"{name}-active")
                parent = name
            for name in ("c", "b", "a"):
                await store.remove("ns", name)
            await store.collect()
        assert os.listdir(scratch / "o/snapshots") == []
        assert events.topics == ["/snapshot/prepare", "/snapshot/commit"] * 3 + ["/snapshot/remove"] * 3

    run(scratch, body)


def test_a_snapshot_that_is_removed_while_it_is_committed_is_not_committed(scratch: Path) -> None:
    async def body(database: Database, leases: LeaseStore, events: Published) -> None:
        with Threads("snapshots", most=2) as threads:
            store = over(overlayfs(scratch / "o", threads), database, leases, events)
            await store.prepare("ns", "active")
            results = await asyncio.gather(
                store.commit("ns", "name", "active"), store.remove("ns", "active"), return_exceptions=True
            )
            assert sum(isinstance(result, NotFound) for result in results) == 1
            shown = [info.name async for batch in store.list_snapshots("ns") for info in batch]
            assert shown == ([] if isinstance(results[0], NotFound) else ["name"])

    run(scratch, body)


def test_a_listing_has_every_name_with_its_labels_over_many_pages(scratch: Path) -> None:
    async def body(database: Database, leases: LeaseStore, events: Published) -> None:
        with Threads("test", most=2) as threads:
            store = over(native(scratch / "native", threads), database, leases, events)
            names = sorted([f"n{number}" for number in range(230)] + ["with\0zero", 'with "quotes"', "ü"])
            for name in names:
                await store.prepare("ns", name, "", {f"{LABEL_PREFIX}name": name}, lease="l")
            listed = [info async for batch in store.list_snapshots("ns") for info in batch]
            await database.write(lambda tx: tx.execute("UPDATE snapshots SET wire = NULL"))
            assert listed == [info async for batch in store.list_snapshots("ns") for info in batch]
        assert [info.name for info in listed] == names
        assert [info.labels for info in listed] == [{f"{LABEL_PREFIX}name": name} for name in names]

    run(scratch, body)


@pytest.mark.parametrize("keeps_labels", [True, False])
def test_a_listing_shows_what_the_evaluator_finds(scratch: Path, *, keeps_labels: bool) -> None:
    async def body(database: Database, leases: LeaseStore, events: Published) -> None:
        with Threads("test", most=2) as threads:
            backend = overlayfs(scratch / "o", threads, shows_upper=True)
            backend.keeps_labels = keeps_labels
            store = over(backend, database, leases, events)
            await store.prepare("ns", "base")
            await store.commit("ns", "below", "base", {"even": "0"})
            for number in range(220):
                said = {"even": str(number % 2), f"{LABEL_PREFIX}n": str(number)}
                await store.prepare("ns", f"n{number}", "below" if number % 3 else "", said, lease="l")
            everything = [info async for batch in store.list_snapshots("ns") for info in batch]
            assert len(everything) == 221
            upper = everything[3].labels[LABEL_UPPER]
            for text in (
                "",
                "name==n7",
                "name.x==n7",
                "parent",
                'parent==""',
                "parent!=below,labels.even==1",
                "parent~=^$",
                "kind==active",
                "kind==committed,labels.even==0",
                "labels.even==1",
                "labels.even!=1",
                "labels.none",
                f'labels."{LABEL_PREFIX}n"==11',
                f'labels."{LABEL_UPPER}"=="{upper}"',
            ):
                wanted = filters.compile([text])
                right = [info for info in everything if wanted.matches(info)]
                assert [info async for batch in store.list_snapshots("ns", [text]) for info in batch] == right

    run(scratch, body)
