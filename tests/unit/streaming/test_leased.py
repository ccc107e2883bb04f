"""Streams that were opened with a lease: the collector ends them with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from google.protobuf.any_pb2 import Any

from pycontainerd.errors import Cancelled
from pycontainerd.images.model import Image, Target
from pycontainerd.metadata import kinds
from pycontainerd.metadata.database import Database
from pycontainerd.metadata.gc.collector import Collector
from pycontainerd.streaming.manager import Stream, Streams
from pycontainerd.streaming.rows import StreamRows
from tests.harness.clocks import ManualClock
from tests.harness.stores import Stores, with_stores

ROWS = "SELECT name FROM objects WHERE kind = ?"


async def nothing() -> AsyncIterator[Any]:
    return
    yield Any()


class House:
    """Streams, their collector, and the leases."""

    def __init__(self, stores: Stores, stack: AsyncExitStack) -> None:
        self.stores = stores
        self.stack = stack
        self.streams = Streams(StreamRows(stores.database, stores.leases))
        self.collector = Collector(stores.database, stores.clock)
        self.collector.register(self.streams)

    async def open(self, name: str, lease: str | None, namespace: str = "ns") -> Stream:
        stream = Stream(nothing())
        await self.stack.enter_async_context(self.streams.opened(namespace, name, stream, lease))
        return stream

    async def rows(self) -> set[str]:
        found = await self.stores.database.read(lambda c: c.execute(ROWS, (kinds.STREAMS,)).fetchall())
        return {name for (name,) in found}


def with_house(directory: Path, test: Callable[[House], Awaitable[None]]) -> None:
    async def main(stores: Stores) -> None:
        async with AsyncExitStack() as stack:
            await test(House(stores, stack))
            await stack.aclose()

    with_stores(directory, main)


async def is_open(stream: Stream) -> bool:
    try:
        await stream.receive()
    except Cancelled:
        return False
    return True


@pytest.mark.parametrize("labels", [{}, {"containerd.io/gc.flat": "x"}])
def test_a_stream_ends_with_its_lease(labels: dict[str, str], scratch: Path) -> None:
    async def test(house: House) -> None:
        await house.stores.leases.create("ns", "l", labels)
        leased, free = await house.open("leased", "l"), await house.open("free", None)
        await house.collector.run()
        assert await is_open(leased)
        await house.stores.leases.delete("ns", "l")
        await house.collector.run()
        assert not await is_open(leased)
        assert await is_open(free)
        assert await house.rows() == set()

    with_house(scratch, test)


@pytest.mark.parametrize("namespace", ["ns", "nowhere"])
def test_a_stream_of_a_lease_that_does_not_exist_ends(namespace: str, scratch: Path) -> None:
    async def test(house: House) -> None:
        await house.stores.leases.create("ns", "l", {})
        stream = await house.open("s", "missing", namespace)
        assert await is_open(stream)
        await house.collector.run()
        assert not await is_open(stream)
        assert [each.name for each in await house.stores.namespaces.list()] == ["ns"]

    with_house(scratch, test)


def test_a_stream_that_a_label_names_stays(scratch: Path) -> None:
    async def test(house: House) -> None:
        said = {"containerd.io/gc.ref.stream.any": "s"}
        await house.stores.images.create("ns", Image("i", Target("m/t", "sha256:" + "0" * 64, 1), said))
        stream = await house.open("s", "missing")
        await house.collector.run()
        assert await is_open(stream)

    with_house(scratch, test)


def test_a_lease_does_not_list_its_streams_and_forgets_those_that_ended(scratch: Path) -> None:
    async def test(house: House) -> None:
        await house.stores.leases.create("ns", "l", {})
        await house.open("s", "l")
        assert await house.stores.leases.resources("ns", "l") == []
        await house.stack.aclose()
        edges = await house.stores.database.read(lambda c: c.execute("SELECT * FROM edges").fetchall())
        assert (edges, await house.rows()) == ([], set())

    with_house(scratch, test)


def test_a_database_is_opened_without_streams(scratch: Path) -> None:
    async def test(house: House) -> None:
        await house.stores.leases.create("ns", "l", {})
        await house.open("s", "l")
        with Database.open(house.stores.database.path, ManualClock()) as later:
            assert await later.read(lambda c: c.execute(ROWS, (kinds.STREAMS,)).fetchall()) == []

    with_house(scratch, test)
