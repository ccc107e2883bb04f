"""Namespaces: how they come and go."""

from __future__ import annotations

from pathlib import Path

import pytest

from pycontainerd.api.containerd import events_pb2
from pycontainerd.containers.model import Container, Packed, Runtime
from pycontainerd.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Unknown
from pycontainerd.images.model import Image, Target
from pycontainerd.metadata import kinds, objects
from pycontainerd.metadata.transaction import Transaction
from tests.harness.stores import Stores, with_stores

DIGEST = "sha256:" + "a" * 64


def test_creating_updating_and_deleting_are_told_in_their_namespace(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await stores.namespaces.create("a", {"k": "v"})
        await stores.namespaces.update("a", {"k": "w"}, ["labels.k"])
        await stores.namespaces.delete("a")
        assert stores.published.events == [
            ("a", "/namespaces/create", events_pb2.NamespaceCreate(name="a", labels={"k": "v"})),
            ("a", "/namespaces/update", events_pb2.NamespaceUpdate(name="a", labels={"k": "w"})),
            ("a", "/namespaces/delete", events_pb2.NamespaceDelete(name="a")),
        ]

    with_stores(scratch, test)


def test_the_first_object_makes_a_namespace_and_one_that_failed_does_not(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        with pytest.raises(InvalidArgument):
            await stores.images.create("bad", Image("", Target()))
        await stores.leases.create("made", "l", {})
        assert [namespace.name for namespace in await stores.namespaces.list()] == ["made"]
        with pytest.raises(AlreadyExists):
            await stores.namespaces.create("made", {})

    with_stores(scratch, test)


def test_one_that_never_was_looks_like_one_without_labels(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        assert stores.namespaces.get("nope").labels == {}

    with_stores(scratch, test)


def test_only_an_empty_one_is_deleted_and_says_what_is_left(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        def fill(tx: Transaction) -> None:
            objects.insert(tx, "a", kinds.snapshots("overlayfs"), "s")
            objects.insert(tx, "a", kinds.snapshots("native"), "s")
            objects.insert(tx, "a", kinds.CONTENT, DIGEST)

        await stores.database.write(fill)
        await stores.images.create("a", Image("i", Target("m/t", DIGEST, 1)))
        await stores.containers.create("a", Container("c", Runtime("rt"), Packed("spec")))
        with pytest.raises(FailedPrecondition) as raised:
            await stores.namespaces.delete("a")
        assert raised.value.message == (
            'namespace "a" must be empty, but it still has images, blobs, containers,'
            ' snapshots on "native" snapshotter, snapshots on "overlayfs" snapshotter'
        )

    with_stores(scratch, test)


def test_leases_and_ingests_go_with_their_namespace(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await stores.leases.create("a", "l", {})
        await stores.leases.create("b", "l", {})
        await stores.database.write(lambda tx: objects.insert(tx, "a", kinds.INGESTS, "r"))
        await stores.namespaces.delete("a")
        assert (list(await stores.leases.list("a")), len(await stores.leases.list("b"))) == ([], 1)
        with pytest.raises(NotFound):
            await stores.namespaces.delete("a")

    with_stores(scratch, test)


def test_a_name_that_is_none_is_stored_but_the_call_fails(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        with pytest.raises(Unknown, match='identifier "a b" must match'):
            await stores.namespaces.update("a b", {"k": "v"})
        assert stores.namespaces.get("a b").labels == {"k": "v"}

    with_stores(scratch, test)
