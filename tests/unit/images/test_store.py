"""Images: what is stored, what is told, what survives."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path

import pytest

from pycontainerd.api.containerd.services.images import v1_pb2 as images_pb2
from pycontainerd.errors import AlreadyExists, InvalidArgument, NotFound
from pycontainerd.images import codec
from pycontainerd.images.model import Image, Target
from pycontainerd.images.service import ImagesService
from pycontainerd.leases.model import Resource
from pycontainerd.metadata import kinds
from pycontainerd.rpc.call import Call
from tests.harness.clocks import START_NS
from tests.harness.stores import Stores, with_stores

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
UNKNOWN = b"\xda\x3e\x03new"
"""Field 1003, as a newer version may have it."""
EXPIRES = {"containerd.io/gc.expire": "2100-01-01T00:00:00Z"}


def image(name: str = "i", digest: str = DIGEST, said: dict[str, str] | None = None, wire: bytes = b"") -> Image:
    return Image(name, Target("m/t", digest, 1, {"a": "1"}), said or {}, wire=wire)


def test_creating_updating_and_deleting_are_told_in_order(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await stores.images.create("ns", image(said={"k": "v"}))
        await stores.images.update("ns", image(said={"k": "w"}))
        await stores.images.delete("ns", "i")
        assert stores.published.topics == ["/images/create", "/images/update", "/images/delete"]
        events = [event for _, _, event in stores.published.events]
        assert events == [
            images_pb2.ImageCreate(name="i", labels={"k": "v"}),
            images_pb2.ImageUpdate(name="i", labels={"k": "w"}),
            images_pb2.ImageDelete(name="i"),
        ]

    with_stores(scratch, test)


def test_what_fails_is_not_told(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await stores.images.create("ns", image())
        refused: list[tuple[type[Exception], Awaitable[object]]] = [
            (AlreadyExists, stores.images.create("ns", image())),
            (InvalidArgument, stores.images.create("ns", image("j", "zz"))),
            (NotFound, stores.images.update("ns", image("j"))),
            (NotFound, stores.images.delete("ns", "j")),
            (NotFound, stores.images.delete("ns", "i", target=OTHER)),
            (NotFound, stores.images.create("ns", image("j", said=EXPIRES), lease="nope")),
        ]
        for kind, call in refused:
            with pytest.raises(kind):
                await call
        assert stores.published.topics == ["/images/create"]
        assert [found.name for found in await stores.images.list("ns")] == ["i"]

    with_stores(scratch, test)


def test_times_are_those_of_the_call_or_the_given_one(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        made = await stores.images.create("ns", image())
        assert (made.created_ns, made.updated_ns) == (START_NS, START_NS)
        stores.clock.forward(1)
        changed = await stores.images.update("ns", image())
        assert (changed.created_ns, changed.updated_ns) == (START_NS, START_NS + 1_000_000_000)
        given = await stores.images.create("ns", image("far"), at_ns=-(10**19))
        assert stores.images.get("ns", "far").created_ns == given.created_ns == -(10**19)

    with_stores(scratch, test)


@pytest.mark.parametrize("paths", [["labels"], ["labels.k"], ["annotations"], []])
def test_fields_that_we_do_not_know_survive_an_update(paths: list[str], scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await stores.images.create("ns", image(wire=UNKNOWN))
        await stores.images.update("ns", image(said={"k": "v"}, wire=b"" if paths else UNKNOWN), paths)
        assert UNKNOWN in stores.images.get_wire("ns", "i")

    with_stores(scratch, test)


def test_an_image_is_read_as_it_was_written() -> None:
    written = Image("i", Target("m/t", DIGEST, 1, {"a": "1"}), {"k": "v"}, 5, -(10**19))
    read = codec.decode(codec.encode(written))
    assert codec.encode(read) == codec.encode(written)
    assert (read.name, read.target, read.labels) == (written.name, written.target, written.labels)
    assert (read.created_ns, read.updated_ns) == (5, -(10**19))


def test_a_lease_holds_only_an_image_that_expires(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await stores.leases.create("ns", "l", {})
        await stores.images.create("ns", image("lasting"), lease="l")
        await stores.images.create("ns", image("expiring", said=EXPIRES), lease="l")
        assert await stores.leases.resources("ns", "l") == [Resource(kinds.IMAGES, "expiring")]
        await stores.images.delete("ns", "expiring", lease="l")
        assert await stores.leases.resources("ns", "l") == []
        await stores.images.delete("ns", "lasting", lease="nope")

    with_stores(scratch, test)


def test_a_synchronous_delete_waits_for_the_collector_after_its_event(scratch: Path) -> None:
    seen: list[list[str]] = []

    async def test(stores: Stores) -> None:
        class Collector:
            async def collected(self) -> None:
                seen.append(list(stores.published.topics))

        stores.images.collect_with(Collector())
        await stores.images.create("ns", image())
        await stores.images.delete("ns", "i", sync=True)
        assert seen == [["/images/create", "/images/delete"]]

    with_stores(scratch, test)


def test_a_list_is_the_stored_bytes_joined(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        for name in ("b", "é", "a", "B"):
            await stores.images.create("ns", image(name, said={"long": "x" * 300}))
        service = ImagesService(stores.images)
        call = Call("", metadata=(("containerd-namespace", "ns"),))
        reply = images_pb2.ListImagesResponse.FromString(await service.list(images_pb2.ListImagesRequest(), call))
        assert [found.name for found in reply.images] == ["B", "a", "b", "é"]
        one = images_pb2.GetImageResponse.FromString(await service.get(images_pb2.GetImageRequest(name="a"), call))
        assert one.image == reply.images[1]

    with_stores(scratch, test)


@pytest.mark.parametrize("count", [3, 260])
def test_long_lists_are_read_like_short_ones(count: int, scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        for number in range(count):
            await stores.images.create("ns", image(f"i{number:03}", said={"odd": "yes"} if number % 2 else {}))
        assert len(await stores.images.list("ns")) == count
        assert len(await stores.images.list("ns", ["labels.odd"])) == count // 2
        assert len(await stores.images.list("ns", ["labels.odd~=y"])) == count // 2

    with_stores(scratch, test)


def test_namespaces_do_not_see_each_other(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await stores.images.create("a", image())
        with pytest.raises(NotFound):
            stores.images.get("b", "i")
        assert list(await stores.images.list("b")) == []

    with_stores(scratch, test)
