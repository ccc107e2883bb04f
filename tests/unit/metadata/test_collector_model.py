"""The collector against a model in plain Python: random graphs, random writers, also in the midst of a run."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import pytest

from pycontainerd.containers.model import Container, Packed, Runtime
from pycontainerd.errors import Error
from pycontainerd.images.model import Image, Target
from pycontainerd.metadata import kinds, labels, objects
from pycontainerd.metadata.database import Committed
from pycontainerd.metadata.gc import order
from pycontainerd.metadata.gc.collector import Collector
from pycontainerd.metadata.gc.explain import Explanation, explain
from pycontainerd.metadata.gc.usage import dying
from pycontainerd.metadata.references import Edge
from pycontainerd.metadata.times import parse_rfc3339
from pycontainerd.metadata.transaction import Transaction
from pycontainerd.sandboxes.model import Sandbox
from tests.harness.clocks import NS, START_NS
from tests.harness.stores import Stores

T = TypeVar("T")
Key = tuple[str, str]
"""Kind and name; all in one namespace."""

OVERLAY: Final = kinds.snapshots("overlayfs")
DIGESTS: Final = [f"sha256:{number:064x}" for number in range(9)]
SNAPSHOTS: Final = [f"s{number}" for number in range(9)]
IMAGES: Final = [f"i{number}" for number in range(4)]
CONTAINERS: Final = [f"c{number}" for number in range(2)]
LEASES: Final = [f"l{number}" for number in range(3)]
INGESTS: Final = ["r0", "r1"]
SANDBOXES: Final = ["b0", "b1"]
STREAMS: Final = ["t0", "t1", "t2"]
MOUNTS: Final = ["m0", "m1", "m2"]
LASTING: Final = (kinds.CONTAINERS, kinds.SANDBOXES)

REFERENCES: Final = {
    "containerd.io/gc.ref.content": kinds.CONTENT,
    "containerd.io/gc.ref.image": kinds.IMAGES,
    "containerd.io/gc.ref.snapshot.overlayfs": OVERLAY,
    "containerd.io/gc.ref.stream": kinds.STREAMS,
    "containerd.io/gc.ref.mount": kinds.MOUNTS,
}
BACK_REFERENCES: Final = {
    "containerd.io/gc.bref.content": kinds.CONTENT,
    "containerd.io/gc.bref.image": kinds.IMAGES,
    "containerd.io/gc.bref.container": kinds.CONTAINERS,
    "containerd.io/gc.bref.snapshot.overlayfs": OVERLAY,
}
CONDITION: Final = "containerd.io/gc.cond.snapshot.overlayfs"
USED: Final = "containerd.io/gc.cond.value-usedat"
DAY: Final = 1_699_999_200
"""2023-11-14T22:00:00Z, shortly before the tests' clock begins."""


def time_text(seconds: int) -> str:
    """A time of that day as labels write it."""
    minutes, second = divmod(seconds - DAY, 60)
    return f"2023-11-14T{22 + minutes // 60:02d}:{minutes % 60:02d}:{second:02d}Z"


@dataclass
class Node:
    """What the model knows of one object."""

    labels: dict[str, str] = field(default_factory=dict)
    needs: list[tuple[Key, bool]] = field(default_factory=list)
    """What it needs besides its labels' references, and whether it does when only it is held flat."""
    expires_ns: int | None = None
    is_reserved: bool = False
    used_ns: int | None = None


class Model:
    """The objects as their clients see them, and who lives."""

    def __init__(self) -> None:
        self.nodes: dict[Key, Node] = {}
        self.now_ns = START_NS

    def living(self) -> set[Key]:
        """All that roots reach now."""
        reached: set[tuple[Key, bool]] = set()
        waiting = [(key, flat) for key, node in self.nodes.items() for flat in self._roots(key, node)]
        while waiting:
            key, flat = waiting.pop()
            if key not in self.nodes or (key, flat) in reached:
                continue
            reached.add((key, flat))
            waiting += self._following(key, flat=flat)
        return {key for key, _ in reached}

    def needed_by_label(self, key: Key) -> Iterator[Key]:
        if key[0] not in (kinds.LEASES, kinds.MOUNTS):
            yield from self._named(key, REFERENCES)
            yield from self._conditioned(key)

    def holders_by_label(self, key: Key) -> Iterator[Key]:
        if key[0] != kinds.LEASES:
            yield from self._named(key, BACK_REFERENCES)

    def _named(self, key: Key, bases: Mapping[str, str]) -> Iterator[Key]:
        for label, value in self.nodes[key].labels.items():
            for base, kind in bases.items():
                if label == base or label.startswith((base + ".", base + "/")):
                    yield kind, value

    def _conditioned(self, key: Key) -> Iterator[Key]:
        if key[0] not in (kinds.CONTENT, kinds.IMAGES):
            return
        for label, value in self.nodes[key].labels.items():
            conditions, _, name = value.partition("|")
            target = self.nodes.get((OVERLAY, name))
            if not label.startswith(CONDITION) or target is None or target.used_ns is None:
                continue
            age_s = (self.now_ns - target.used_ns) // NS
            spans = [(condition[6], int(condition[7:-1])) for condition in conditions.split(",")]
            if any(age_s < span if sign == "<" else age_s > span for sign, span in spans):
                yield OVERLAY, name

    def _following(self, key: Key, *, flat: bool) -> list[tuple[Key, bool]]:
        found = [(needed, flat) for needed, when_flat in self.nodes[key].needs if when_flat or not flat]
        if not flat:
            found += [(needed, False) for needed in self.needed_by_label(key)]
            found += [(other, False) for other in self.nodes if key in self.holders_by_label(other)]
        return found

    def _roots(self, key: Key, node: Node) -> list[bool]:
        kind = key[0]
        if node.is_reserved:
            return [False]
        is_past = node.expires_ns is not None and node.expires_ns <= self.now_ns
        if kind in LASTING:
            return [False]
        if kind in (kinds.STREAMS, kinds.MOUNTS):
            return []
        if kind == kinds.IMAGES:
            return [] if is_past else [False]
        if kind == kinds.LEASES:
            return [] if is_past else ["containerd.io/gc.flat" in node.labels]
        if kind == kinds.INGESTS:
            return [False] if node.expires_ns is not None and not is_past else []
        return [False] if any(label.startswith("containerd.io/gc.root") for label in node.labels) else []


def used_ns(key: Key, said: Mapping[str, str]) -> int | None:
    """When labels of a snapshot say that it was used."""
    text = said.get(USED) if key[0] == OVERLAY else None
    return None if text is None else parse_rfc3339(text)


CONDITIONS: Final = [
    f"{conditions}|{name}"
    for name in SNAPSHOTS
    for conditions in ("usedat<3s", "usedat>3s", "usedat<5s,usedat>9s", "usedat<2s,usedat<8s")
]


class World:
    """A database and its model, changed in step by random operations."""

    def __init__(self, stores: Stores, rng: random.Random) -> None:
        self.stores = stores
        self.model = Model()
        self.rng = rng
        self.operations: list[Callable[[], object]] = [
            *[self.make_content] * 6,
            *[self.make_snapshot] * 3,
            self.make_image,
            self.make_container,
            self.make_sandbox,
            *[self.make_mount] * 2,
            self.make_stream,
            *[self.make_lease] * 2,
            *[self.add_to_lease] * 2,
            self.remove_from_lease,
            self.make_ingest,
            self.relabel,
            self.relabel,
            *[self.delete] * 2,
            self.reserve,
            self.finish,
            self.wait,
        ]

    async def step(self) -> None:
        """One random operation; one that the stores refuse changes nothing."""
        result = self.rng.choice(self.operations)()
        if asyncio.iscoroutine(result):
            try:
                await result
            except Error:
                return

    async def check_answers(self) -> None:
        """What clients are told of the collector: what would go, and that all that stays is explained."""
        now_ns, living = self.stores.clock.now_ns(), self.model.living()
        going, _ = await self.stores.database.read(lambda c: dying(c, now_ns))
        gone = {key for key in self.model.nodes if key not in living and key[0] not in LASTING}
        assert {(item.kind, item.name) for item in going} == gone
        for key in self.rng.sample(sorted(self.model.nodes), min(5, len(self.model.nodes))):
            for found in await self.stores.database.read(partial(self._explained, key=key, now_ns=now_ns)):
                assert bool(found.chain) == (key in living)
                links = [(link.item.kind, link.item.name) for link in found.chain]
                assert not links or links[-1] == key
                assert all(link in living for link in links)

    def _explained(self, connection: sqlite3.Connection, *, key: Key, now_ns: int) -> list[Explanation]:
        return explain(connection, "ns", *key, now_ns)

    async def stored(self) -> set[Key]:
        rows = await self.stores.database.read(
            lambda c: c.execute("SELECT kind, name FROM objects WHERE kind <> 'namespaces'").fetchall()
        )
        return set(rows)

    def random_labels(self, *, expiry: bool = False, root: bool = False) -> dict[str, str]:
        rng, said = self.rng, {}
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            key, names = rng.choice(
                [
                    ("containerd.io/gc.ref.content.l.%d", DIGESTS),
                    ("containerd.io/gc.ref.content.l.%d", DIGESTS),
                    ("containerd.io/gc.ref.snapshot.overlayfs/%d", SNAPSHOTS),
                    ("containerd.io/gc.ref.image.%d", IMAGES),
                    ("containerd.io/gc.bref.content.%d", DIGESTS),
                    ("containerd.io/gc.bref.image/%d", IMAGES),
                    ("containerd.io/gc.bref.container.%d", CONTAINERS),
                    ("containerd.io/gc.bref.snapshot.overlayfs/%d", SNAPSHOTS),
                    ("containerd.io/gc.ref.contentx%d", DIGESTS),
                    ("other.%d", DIGESTS),
                    ("containerd.io/gc.ref.stream/%d", STREAMS),
                    ("containerd.io/gc.ref.mount.%d", MOUNTS),
                    (CONDITION + "/%d", CONDITIONS),
                ]
            )
            said[key % rng.randrange(4)] = rng.choice(names)
        if rng.random() < 0.4:
            said[USED] = time_text(self.model.now_ns // NS - rng.choice([1, 4, 9]))
        if root and rng.random() < 0.05:
            said["containerd.io/gc.root.x"] = "1"
        if expiry and rng.random() < 0.7:
            said["containerd.io/gc.expire"] = "T"
        return said

    def with_expiry(self, said: dict[str, str]) -> tuple[dict[str, str], int | None]:
        if "containerd.io/gc.expire" not in said:
            return said, None
        seconds = self.model.now_ns // NS + self.rng.choice([-5, 3, 10])
        said["containerd.io/gc.expire"] = time_text(seconds)
        return said, seconds * NS

    async def make_row(self, key: Key, node: Node, *, edges: list[Edge] | None = None) -> None:
        def make(tx: Transaction) -> None:
            id_ = objects.insert(tx, "ns", *key, reserved=node.is_reserved)
            if id_ is None:
                raise Error("taken")
            labels.replace(tx, id_, node.labels)
            objects.set_edges(tx, id_, "test", edges or [])
            if key[0] == kinds.INGESTS:
                objects.set_root(tx, id_, 0 if node.expires_ns is None else 1, node.expires_ns)

        await self.stores.database.write(make)
        node.used_ns = used_ns(key, node.labels)
        self.model.nodes[key] = node

    async def make_content(self) -> None:
        key = (kinds.CONTENT, self.rng.choice(DIGESTS))
        await self.make_row(key, Node(self.random_labels(root=True)))

    async def make_snapshot(self, *, reserved: bool = False) -> None:
        key = (OVERLAY, self.rng.choice(SNAPSHOTS))
        parents = [name for kind, name in self.model.nodes if kind == OVERLAY and name != key[1]]
        parent = self.rng.choice(parents) if parents and self.rng.random() < 0.8 else None
        node = Node(self.random_labels(root=True), is_reserved=reserved)
        edges = []
        if parent is not None:
            node.needs = [((OVERLAY, parent), True)]
            edges = [Edge(OVERLAY, parent, flat=True)]
        await self.make_row(key, node, edges=edges)

    async def make_image(self) -> None:
        said, expires_ns = self.with_expiry(self.random_labels(expiry=True))
        digest = self.rng.choice(DIGESTS)
        image = Image(self.rng.choice(IMAGES), Target("m/t", digest, 1), said)
        lease = self.rng.choice([*LEASES, None])
        key = (kinds.IMAGES, image.name)
        if key in self.model.nodes:
            await self.stores.images.update("ns", image, lease=lease)
        else:
            await self.stores.images.create("ns", image, lease=lease)
        self.model.nodes[key] = Node(said, [((kinds.CONTENT, digest), True)], expires_ns)
        if lease is not None and expires_ns is not None:
            self._hold((kinds.LEASES, lease), key)

    async def make_container(self) -> None:
        snapshot = self.rng.choice(SNAPSHOTS)
        container = Container(
            self.rng.choice(CONTAINERS),
            Runtime("rt"),
            Packed("spec"),
            self.random_labels(),
            snapshotter="overlayfs",
            snapshot_key=snapshot,
        )
        await self.stores.containers.create("ns", container)
        key = (kinds.CONTAINERS, container.id)
        self.model.nodes[key] = Node(dict(container.labels), [((OVERLAY, snapshot), False)])

    async def make_sandbox(self) -> None:
        sandbox = Sandbox(self.rng.choice(SANDBOXES), Runtime("rt"), labels=self.random_labels())
        await self.stores.sandboxes.create("ns", sandbox)
        self.model.nodes[kinds.SANDBOXES, sandbox.id] = Node(dict(sandbox.labels))

    async def make_mount(self) -> None:
        """As `activations.store` does: reserved while it is mounted, and perhaps with a lease."""
        is_reserved = self.rng.random() < 0.5
        node = Node(self.random_labels(root=True), is_reserved=is_reserved)
        await self._make_owned((kinds.MOUNTS, self.rng.choice(MOUNTS)), node)

    async def make_stream(self) -> None:
        await self._make_owned((kinds.STREAMS, self.rng.choice(STREAMS)), Node())

    async def _make_owned(self, key: Key, node: Node) -> None:
        await self.make_row(key, node)
        lease = (kinds.LEASES, self.rng.choice(LEASES))
        await self.stores.database.write(lambda tx: self.stores.leases.own(tx, "ns", lease[1], *key))
        if lease in self.model.nodes:
            self._hold(lease, key)

    async def make_lease(self) -> None:
        said, expires_ns = self.with_expiry(self.random_labels(expiry=True))
        if self.rng.random() < 0.6:
            said["containerd.io/gc.flat"] = "1"
        name = self.rng.choice(LEASES)
        await self.stores.leases.create("ns", name, said)
        self.model.nodes[kinds.LEASES, name] = Node(said, expires_ns=expires_ns)

    async def add_to_lease(self) -> None:
        lease, (kind, name) = self.rng.choice(LEASES), self.random_resource()
        await self.stores.leases.add("ns", lease, kind, name)
        self._hold((kinds.LEASES, lease), (kind, name))

    async def remove_from_lease(self) -> None:
        lease, (kind, name) = self.rng.choice(LEASES), self.random_resource()
        await self.stores.leases.remove("ns", lease, kind, name)
        node = self.model.nodes[kinds.LEASES, lease]
        node.needs = [need for need in node.needs if need[0] != (kind, name)]

    async def make_ingest(self) -> None:
        expires_ns = self.rng.choice([None, self.model.now_ns + 5 * NS])
        await self.make_row((kinds.INGESTS, self.rng.choice(INGESTS)), Node(expires_ns=expires_ns))

    async def relabel(self) -> None:
        candidates = [key for key in sorted(self.model.nodes) if key[0] in (kinds.CONTENT, OVERLAY)]
        if not candidates:
            return
        key, said = self.rng.choice(candidates), self.random_labels(root=True)

        def change(tx: Transaction) -> None:
            row = tx.execute("SELECT id FROM objects WHERE kind = ? AND name = ?", key).fetchone()
            labels.replace(tx, row[0], said)

        await self.stores.database.write(change)
        self.model.nodes[key].labels = said
        self.model.nodes[key].used_ns = used_ns(key, said)

    async def delete(self) -> None:
        if not self.model.nodes:
            return
        key = self.rng.choice(sorted(self.model.nodes))

        def remove(tx: Transaction) -> None:
            row = tx.execute("SELECT id FROM objects WHERE kind = ? AND name = ?", key).fetchone()
            objects.delete(tx, row[0], key[0])

        await self.stores.database.write(remove)
        del self.model.nodes[key]

    async def reserve(self) -> None:
        await self.make_snapshot(reserved=True)

    async def finish(self) -> None:
        reserved = [key for key, node in sorted(self.model.nodes.items(), key=lambda item: item[0]) if node.is_reserved]
        if not reserved:
            return
        key = self.rng.choice(reserved)

        def end(tx: Transaction) -> None:
            objects.finish(tx, tx.execute("SELECT id FROM objects WHERE kind = ? AND name = ?", key).fetchone()[0])

        await self.stores.database.write(end)
        self.model.nodes[key].is_reserved = False

    def wait(self) -> None:
        self.stores.clock.forward(2)
        self.model.now_ns = self.stores.clock.now_ns()

    def random_resource(self) -> Key:
        existing = sorted(key for key in self.model.nodes if key[0] in (kinds.CONTENT, OVERLAY, kinds.IMAGES))
        if existing and self.rng.random() < 0.8:
            return self.rng.choice(existing)
        return self.rng.choice(
            [
                (kinds.CONTENT, self.rng.choice(DIGESTS)),
                (OVERLAY, self.rng.choice(SNAPSHOTS)),
                (kinds.IMAGES, self.rng.choice(IMAGES)),
                (kinds.INGESTS, self.rng.choice(INGESTS)),
            ]
        )

    def _hold(self, lease: Key, resource: Key) -> None:
        node = self.model.nodes[lease]
        if (resource, True) not in node.needs:
            node.needs.append((resource, True))


class Crowded:
    """The database as the collector sees it, with other writers before and after each of its steps.

    Checks each step: nothing that lives is gone, and of what was dying, nothing is left that needs what is gone. (What
    lived flat may need what is gone.)
    """

    def __init__(self, world: World, crowd: int) -> None:
        self._world = world
        self._crowd = crowd
        self._database = world.stores.database
        self._marked: set[Key] = set()

    def listen(self, listener: Callable[[Committed], None]) -> None:
        self._database.listen(listener)

    async def write(self, work: Callable[[Transaction], T], *, what: str = "", quiet: bool = False) -> T:
        if what == "begin to collect":  # a collection's time is that of its begin
            self._marked = self._world.model.living()
        await self._others()
        result = await self._database.write(work, what=what, quiet=quiet)
        await self._check(self._world.model.living())
        return result

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        await self._others()
        self._marked |= self._world.model.living()
        return await self._database.read(work)

    async def _others(self) -> None:
        for _ in range(self._world.rng.randrange(self._crowd + 1)):
            await self._world.step()

    async def _check(self, living: set[Key]) -> None:
        model = self._world.model
        gone = model.nodes.keys() - await self._world.stored()
        assert not gone & living
        for key in gone:
            del model.nodes[key]
        for key in model.nodes.keys() - living - self._marked:
            needed = {need for need, _ in model.nodes[key].needs}
            assert not gone & (needed | set(model.needed_by_label(key)))


STEPS: Final = 10_000
"""Random operations in all; `COLLECTOR_MODEL_STEPS` in the environment asks for another number."""

RUNS: Final = 6
STEPS_A_RUN: Final = 35


def seeds() -> range:
    steps = int(os.environ.get("COLLECTOR_MODEL_STEPS", STEPS))
    return range(-(-steps // (RUNS * STEPS_A_RUN)))


@pytest.mark.parametrize("seed", seeds())
def test_what_lives_stays_and_what_does_not_goes(seed: int, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "BATCH", 2)

    async def main() -> None:
        async with Stores.opened(scratch) as stores:
            world = World(stores, random.Random(seed))  # noqa: S311 - a test that can be repeated
            crowded = Collector(Crowded(world, crowd=4), stores.clock)  # type: ignore[arg-type]  # a database with others
            alone = Collector(Crowded(world, crowd=0), stores.clock)  # type: ignore[arg-type]
            for _ in range(RUNS):
                for _ in range(STEPS_A_RUN - 10):
                    await world.step()
                await crowded.run()
                for _ in range(10):
                    await world.step()
                await world.check_answers()
                await alone.run()
                lasting = {key for key in world.model.nodes if key[0] in LASTING}
                assert await world.stored() == world.model.living() | lasting

    asyncio.run(main())
