"""What keeps an object, and what takes how much."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path

import pytest

from pycontainerd.containers.model import Container, Runtime
from pycontainerd.images.model import Image, Target
from pycontainerd.metadata import kinds, labels, objects
from pycontainerd.metadata.gc.explain import Explanation, explain
from pycontainerd.metadata.gc.usage import disk_usage, dying
from pycontainerd.metadata.references import Edge
from pycontainerd.metadata.transaction import Transaction
from tests.harness.clocks import START_NS
from tests.harness.stores import Stores, with_stores

OVERLAY = kinds.snapshots("overlayfs")
LAYER, OTHER, CONFIG, MANIFEST, LOOSE = (f"sha256:{letter * 64}" for letter in "abcde")
FUTURE, FUTURE_NS = "2033-05-18T03:33:20Z", 2_000_000_000_000_000_000


def content(
    stores: Stores, digest: str, size: int, said: Mapping[str, str] | None = None, ns: str = "ns"
) -> Awaitable[None]:
    def make(tx: Transaction) -> None:
        id_ = objects.insert(tx, ns, kinds.CONTENT, digest)
        assert id_ is not None
        tx.execute("INSERT INTO blobs (id, digest, size) VALUES (?, ?, ?)", (id_, digest, size))
        labels.replace(tx, id_, said or {})

    return stores.database.write(make)


def snapshot(stores: Stores, name: str, size: int, parent: str = "", ns: str = "ns") -> Awaitable[None]:
    def make(tx: Transaction) -> None:
        id_ = objects.insert(tx, ns, OVERLAY, name)
        assert id_ is not None
        backend = f"{ns}/{name}"
        tx.execute(
            "INSERT INTO snapshots (id, snapshotter, backend, parent) VALUES (?, 'overlayfs', ?, ?)",
            (id_, backend, parent),
        )
        tx.execute(
            "INSERT INTO backend_snapshots (snapshotter, id, key, kind, created_ns, updated_ns, size)"
            " VALUES ('overlayfs', ?, ?, 3, 0, 0, ?)",
            (id_, backend, size),
        )
        if parent:
            objects.add_edge(tx, id_, "parent", Edge(OVERLAY, parent, flat=True))

    return stores.database.write(make)


async def fill(stores: Stores) -> None:
    """Two images that share a layer; the first is unpacked, in two snapshots."""
    await snapshot(stores, "below", 1000)
    await snapshot(stores, "top", 200, "below")
    await content(stores, LAYER, 50)
    await content(stores, OTHER, 7)
    await content(stores, LOOSE, 3)
    await content(stores, CONFIG, 5, {"containerd.io/gc.ref.snapshot.overlayfs": "top"})
    refs = {"containerd.io/gc.ref.content.config": CONFIG, "containerd.io/gc.ref.content.l.0": LAYER}
    await content(stores, MANIFEST, 11, refs)
    await stores.images.create("ns", Image("one", Target("m/t", MANIFEST, 1)))
    said = {"containerd.io/gc.ref.content.x": LAYER}
    await stores.images.create("ns", Image("two", Target("m/t", OTHER, 1), said))


async def explained(stores: Stores, name: str, kind: str = "", ns: str = "ns") -> Sequence[Explanation]:
    return await stores.database.read(lambda c: explain(c, ns, kind, name, START_NS))


def chain(explanation: Explanation) -> list[tuple[str, str]]:
    return [(link.item.name, link.by) for link in explanation.chain]


def test_a_chain_leads_from_a_root_to_the_object(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await fill(stores)
        (found,) = await explained(stores, "below")
        assert chain(found) == [
            ("one", "target"),
            (MANIFEST, "label containerd.io/gc.ref.content.config"),
            (CONFIG, "label containerd.io/gc.ref.snapshot.overlayfs"),
            ("top", "parent"),
            ("below", ""),
        ]
        assert (found.root, found.expires_ns, found.roots, found.item.size) == ("image", None, 1, 1000)
        (found,) = await explained(stores, LAYER[:15])
        assert (found.item.name, found.roots, len(found.chain)) == (LAYER, 2, 2)

    with_stores(scratch, test)


def test_what_nothing_keeps_has_no_chain_and_what_is_not_there_is_not_explained(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await fill(stores)
        (found,) = await explained(stores, LOOSE)
        assert (list(found.chain), found.root, found.roots) == ([], "", 0)
        for name, kind, ns in (
            ("nope", "", "ns"),
            (LAYER, kinds.IMAGES, "ns"),
            (LAYER, "", "other"),
            ("sha256:", "", "ns"),
        ):
            assert await explained(stores, name, kind, ns) == []

    with_stores(scratch, test)


def test_all_kinds_of_a_name_are_explained_images_first(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await snapshot(stores, "same", 1)
        await stores.containers.create(
            "ns", Container("same", Runtime("rt"), snapshotter="overlayfs", snapshot_key="same")
        )
        await stores.images.create("ns", Image("same", Target("m/t", LAYER, 1)))
        assert [found.item.kind for found in await explained(stores, "same")] == ["images", "containers", OVERLAY]
        (found,) = await explained(stores, "same", OVERLAY)
        assert (chain(found), found.root) == ([("same", "root file system"), ("same", "")], "container")

    with_stores(scratch, test)


def test_of_several_roots_the_one_that_lasts_longest_is_told(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await content(stores, LAYER, 1)
        await stores.leases.create("ns", "short", {"containerd.io/gc.expire": FUTURE})
        await stores.leases.add("ns", "short", kinds.CONTENT, LAYER)
        (found,) = await explained(stores, LAYER)
        assert (chain(found), found.root) == ([("short", "resource"), (LAYER, "")], "lease")
        assert found.expires_ns == FUTURE_NS
        await stores.leases.create("ns", "past", {"containerd.io/gc.expire": "2001-01-01T00:00:00Z"})
        await stores.leases.add("ns", "past", kinds.CONTENT, LAYER)
        await stores.leases.create("ns", "long", {})
        await stores.leases.add("ns", "long", kinds.CONTENT, LAYER)
        (found,) = await explained(stores, LAYER)
        assert (chain(found)[0], found.expires_ns, found.roots) == (("long", "resource"), None, 2)

    with_stores(scratch, test)


def test_a_flat_lease_does_not_explain_what_its_resources_need(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await content(stores, LAYER, 1)
        await content(stores, MANIFEST, 1, {"containerd.io/gc.ref.content": LAYER})
        await stores.leases.create("ns", "flat", {"containerd.io/gc.flat": "x"})
        await stores.leases.add("ns", "flat", kinds.CONTENT, MANIFEST)
        assert len((await explained(stores, MANIFEST))[0].chain) == 2
        assert (await explained(stores, LAYER))[0].chain == ()

    with_stores(scratch, test)


@pytest.mark.parametrize(
    ("said", "root", "by"),
    [
        ({"containerd.io/gc.root.any": "x"}, "label containerd.io/gc.root.any", []),
        (
            {"containerd.io/gc.bref.image/x": "i"},
            "image",
            [("i", "label containerd.io/gc.bref.image/x of what it keeps")],
        ),
    ],
)
def test_labels_of_the_object_itself_explain_it(
    said: dict[str, str], root: str, by: list[tuple[str, str]], scratch: Path
) -> None:
    async def test(stores: Stores) -> None:
        await content(stores, LAYER, 1, said)
        await stores.images.create("ns", Image("i", Target("m/t", OTHER, 1)))
        (found,) = await explained(stores, LAYER)
        assert (chain(found), found.root) == ([*by, (LAYER, "")], root)

    with_stores(scratch, test)


def test_usage_tells_what_is_shared_from_what_is_unique(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await fill(stores)
        usage = await stores.database.read(lambda c: disk_usage(c, "ns", START_NS))
        figures = {each.image.name: (each.compressed, each.unpacked, each.shared, each.unique) for each in usage.images}
        assert figures == {"one": (66, 1200, 50, 1216), "two": (57, 0, 50, 7)}
        assert (usage.content, usage.snapshots, usage.reclaimable) == (76, 1200, 3)

    with_stores(scratch, test)


def test_what_namespaces_share_is_counted_once_and_freed_with_the_last(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await fill(stores)
        await content(stores, OTHER, 7, ns="second")
        await content(stores, LOOSE, 3, ns="second")
        await stores.images.create("second", Image("two", Target("m/t", OTHER, 1)))
        usage = await stores.database.read(lambda c: disk_usage(c, "second", START_NS))
        assert [(each.image.namespace, each.shared, each.unique) for each in usage.images] == [("second", 7, 0)]
        assert (usage.content, usage.reclaimable) == (76, 3)
        everything = await stores.database.read(lambda c: disk_usage(c, None, START_NS))
        assert [(each.image.namespace, each.image.name) for each in everything.images] == [
            ("ns", "one"),
            ("ns", "two"),
            ("second", "two"),
        ]
        await stores.images.delete("ns", "two")
        going, size = await stores.database.read(lambda c: dying(c, START_NS))
        assert [(item.namespace, item.name) for item in going] == [("ns", OTHER), ("ns", LOOSE), ("second", LOOSE)]
        assert size == 3

    with_stores(scratch, test)
