"""Leases: what they hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from pycontainerd.errors import AlreadyExists, Error, InvalidArgument, NotFound, Unimplemented
from pycontainerd.leases.model import Resource
from pycontainerd.metadata import kinds
from tests.harness.stores import Stores, with_stores

DIGEST = "sha256:" + "a" * 64


def test_an_empty_id_becomes_a_random_one(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        made = [await stores.leases.create("ns", "", {}) for _ in range(2)]
        assert len({lease.id for lease in made}) == 2
        assert [lease.id for lease in await stores.leases.list("ns")] == sorted(lease.id for lease in made)

    with_stores(scratch, test)


def test_a_lease_exists_once_and_tells_nothing(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await stores.leases.create("ns", "l", {"k": "v" * 5000})
        with pytest.raises(AlreadyExists):
            await stores.leases.create("ns", "l", {})
        await stores.leases.delete("ns", "l")
        with pytest.raises(NotFound):
            await stores.leases.delete("ns", "l")
        assert stores.published.events == []

    with_stores(scratch, test)


@pytest.mark.parametrize(
    ("kind", "name", "error"),
    [
        ("content", "zz", InvalidArgument),
        ("content/x", DIGEST, InvalidArgument),
        ("snapshots", "x", InvalidArgument),
        ("snapshots/a/b", "x", InvalidArgument),
        ("foo", "x", Unimplemented),
        ("", "x", Unimplemented),
    ],
)
def test_what_no_lease_can_hold(kind: str, name: str, error: type[Error]) -> None:
    with pytest.raises(error):
        Resource.parse(kind, name)


def test_resources_are_listed_by_kind_and_name(scratch: Path) -> None:
    held = [
        ("snapshots/overlayfs", "b"),
        ("ingests", "r"),
        ("snapshots/native", "z"),
        ("images", "i"),
        ("content", DIGEST),
        ("snapshots/overlayfs", "a"),
    ]

    async def test(stores: Stores) -> None:
        await stores.leases.create("ns", "l", {})
        for kind, name in (*held, *held):
            await stores.leases.add("ns", "l", kind, name)
        found = await stores.leases.resources("ns", "l")
        assert [(resource.kind, resource.name) for resource in found] == sorted(held)
        await stores.leases.remove("ns", "l", "images", "i")
        await stores.leases.remove("ns", "l", "images", "i")
        assert len(await stores.leases.resources("ns", "l")) == len(held) - 1

    with_stores(scratch, test)


def test_stores_attach_and_detach_in_their_own_operations(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await stores.leases.create("ns", "l", {})
        await stores.database.write(lambda tx: stores.leases.attach(tx, "ns", "l", kinds.INGESTS, "r"))
        assert await stores.leases.resources("ns", "l") == [Resource(kinds.INGESTS, "r")]
        await stores.database.write(lambda tx: stores.leases.detach(tx, "ns", "l", kinds.INGESTS, "r"))
        await stores.database.write(lambda tx: stores.leases.detach(tx, "ns", "nope", kinds.INGESTS, "r"))
        assert await stores.leases.resources("ns", "l") == []
        with pytest.raises(NotFound, match="lease does not exist"):
            await stores.database.write(lambda tx: stores.leases.attach(tx, "ns", "nope", kinds.INGESTS, "r"))

    with_stores(scratch, test)


def test_a_synchronous_delete_waits_for_the_collector(scratch: Path) -> None:
    seen: list[int] = []

    async def test(stores: Stores) -> None:
        class Collector:
            async def collected(self) -> None:
                seen.append(len(await stores.leases.list("ns")))

        stores.leases.collect_with(Collector())
        await stores.leases.create("ns", "a", {})
        await stores.leases.create("ns", "b", {})
        await stores.leases.delete("ns", "a")
        await stores.leases.delete("ns", "b", sync=True)
        assert seen == [0]

    with_stores(scratch, test)
