"""Containers: what is stored, what is told, what survives."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path

import pytest
from google.protobuf.any_pb2 import Any
from msgspec.structs import replace

from pycontainerd.api.containerd import events_pb2
from pycontainerd.containers import codec
from pycontainerd.containers.model import Container, Packed, Runtime
from pycontainerd.errors import AlreadyExists, InvalidArgument, NotFound
from tests.harness.clocks import START_NS
from tests.harness.stores import Stores, with_stores

UNKNOWN = b"\xda\x3e\x03new"
"""Field 1003, as a newer version may have it."""
SPEC = Packed("types.test/Spec", b"spec")
PLAIN = Container(
    "c",
    Runtime("rt", Packed("o", b"1")),
    SPEC,
    {"k": "v"},
    image="image",
    snapshotter="overlayfs",
    snapshot_key="key",
    sandbox="sandbox",
)


def test_creating_updating_and_deleting_are_told_in_order(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await stores.containers.create("ns", PLAIN)
        await stores.containers.update("ns", replace(PLAIN, labels={"k": "w"}), ["labels"])
        await stores.containers.delete("ns", "c")
        options = Any(type_url="o", value=b"1")
        runtime = events_pb2.ContainerCreate.Runtime(name="rt", options=options)
        assert stores.published.events == [
            ("ns", "/containers/create", events_pb2.ContainerCreate(id="c", image="image", runtime=runtime)),
            (
                "ns",
                "/containers/update",
                events_pb2.ContainerUpdate(id="c", image="image", labels={"k": "w"}, snapshot_key="key"),
            ),
            ("ns", "/containers/delete", events_pb2.ContainerDelete(id="c")),
        ]

    with_stores(scratch, test)


def test_what_fails_is_not_told(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await stores.containers.create("ns", PLAIN)
        refused: list[tuple[type[Exception], Awaitable[object]]] = [
            (AlreadyExists, stores.containers.create("ns", PLAIN)),
            (InvalidArgument, stores.containers.create("ns", replace(PLAIN, id="a b"))),
            (InvalidArgument, stores.containers.update("ns", PLAIN, ["runtime"])),
            (NotFound, stores.containers.update("ns", replace(PLAIN, id="d"))),
            (NotFound, stores.containers.delete("ns", "d")),
        ]
        for kind, call in refused:
            with pytest.raises(kind):
                await call
        assert stores.published.topics == ["/containers/create"]

    with_stores(scratch, test)


@pytest.mark.parametrize("paths", [["labels"], ["labels.k"], ["spec"], ["image", "snapshotkey"]])
def test_fields_that_we_do_not_know_survive_an_update(paths: list[str], scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await stores.containers.create("ns", replace(PLAIN, wire=UNKNOWN))
        await stores.containers.update("ns", PLAIN, paths)
        assert UNKNOWN in stores.containers.get_wire("ns", "c")

    with_stores(scratch, test)


def test_a_container_is_read_as_it_was_written() -> None:
    written = replace(PLAIN, extensions={"e": SPEC, "f": Packed()}, created_ns=1, updated_ns=2)
    read = codec.decode(codec.encode(written))
    assert replace(read, wire=b"") == written


def test_an_absent_spec_and_an_empty_one_are_not_the_same() -> None:
    assert codec.decode(codec.encode(replace(PLAIN, spec=None))).spec is None
    assert codec.decode(codec.encode(replace(PLAIN, spec=Packed()))).spec == Packed()
    without = replace(PLAIN, runtime=Runtime("rt"))
    assert codec.decode(codec.encode(without)).runtime.options is None


def test_extensions_are_merged_and_the_reply_shows_what_was_sent(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await stores.containers.create("ns", replace(PLAIN, extensions={"a": SPEC}))
        reply = await stores.containers.update("ns", replace(PLAIN, extensions={"b": SPEC}), ["extensions"])
        assert set(reply.extensions) == {"b"}
        assert set(stores.containers.get("ns", "c").extensions) == {"a", "b"}

    with_stores(scratch, test)


def test_an_update_keeps_when_the_container_was_made(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await stores.containers.create("ns", replace(PLAIN, created_ns=5))
        stores.clock.forward(2)
        changed = await stores.containers.update("ns", PLAIN)
        assert (changed.created_ns, changed.updated_ns) == (START_NS, START_NS + 2_000_000_000)

    with_stores(scratch, test)


def test_a_container_holds_its_snapshot_and_lets_go_of_the_old_one(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        def held() -> list[tuple[str, str]]:
            with stores.database.reading() as connection:
                return connection.execute("SELECT kind, name FROM edges").fetchall()

        await stores.containers.create("ns", PLAIN)
        assert held() == [("snapshots/overlayfs", "key")]
        await stores.containers.update("ns", replace(PLAIN, snapshot_key="other"), ["snapshotkey"])
        assert held() == [("snapshots/overlayfs", "other")]
        await stores.containers.update("ns", replace(PLAIN, snapshot_key=""), ["snapshotkey"])
        assert held() == []

    with_stores(scratch, test)
