"""Sandboxes: what is stored, what survives, who answers for whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pycontainerd.api.containerd.services.sandbox import v1_pb2 as sandbox_pb2
from pycontainerd.containers.model import Packed, Runtime
from pycontainerd.errors import AlreadyExists, InvalidArgument, NotFound
from pycontainerd.metadata import kinds
from pycontainerd.rpc.call import Call
from pycontainerd.sandboxes import codec
from pycontainerd.sandboxes.model import Sandbox
from pycontainerd.sandboxes.service import SandboxesService
from tests.harness.clocks import START_NS
from tests.harness.stores import Stores, with_stores

UNKNOWN = b"\xda\x3e\x03new"
"""Field 1003, as a newer version may have it."""
PLAIN = Sandbox(
    "s", Runtime("rt", Packed("o", b"1")), Packed("spec", b"1"), {"k": "v"}, {"e": Packed("x", b"y")}, sandboxer="shim"
)
CALL = Call("", (("containerd-namespace", "ns"),))


def test_a_sandbox_is_read_as_it_was_stored(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        made = await stores.sandboxes.create("ns", PLAIN)
        stored = stores.sandboxes.get("ns", "s")
        assert replace(stored, wire=b"") == replace(PLAIN, created_ns=START_NS, updated_ns=START_NS)
        assert made.wire == stored.wire
        assert stores.published.events == []

    with_stores(scratch, test)


def test_fields_that_are_not_known_survive_an_update(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        sent = codec.decode(codec.encode(PLAIN) + UNKNOWN)
        await stores.sandboxes.create("ns", sent)
        await stores.sandboxes.update("ns", replace(PLAIN, labels={"n": "1"}), ["labels.n"])
        stored = stores.sandboxes.get("ns", "s")
        assert UNKNOWN in stored.wire
        assert stored.labels == {"k": "v", "n": "1"}

    with_stores(scratch, test)


def test_what_an_update_does_not_carry_stays(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await stores.sandboxes.create("ns", PLAIN)
        bare = Sandbox("s", Runtime("rt"), extensions={"f": Packed("z", b"")})
        shown = await stores.sandboxes.update("ns", bare)
        assert (shown.spec, shown.runtime.options, set(shown.extensions)) == (None, None, {"f"})
        stored = stores.sandboxes.get("ns", "s")
        assert (stored.spec, stored.runtime, set(stored.extensions)) == (PLAIN.spec, PLAIN.runtime, {"e", "f"})
        assert stored.labels == {}

    with_stores(scratch, test)


def test_lists_are_in_byte_order_and_filtered(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        for id_ in ("b", "a", "B"):
            await stores.sandboxes.create("ns", replace(PLAIN, id=id_, labels={"id": id_}))
        assert [each.id for each in await stores.sandboxes.list("ns")] == ["B", "a", "b"]
        assert [each.id for each in await stores.sandboxes.list("ns", ["labels.id==a", "id==b"])] == ["a", "b"]
        assert await stores.sandboxes.list("other") == []

    with_stores(scratch, test)


def test_what_fails_changes_nothing(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        await stores.sandboxes.create("ns", PLAIN)
        before = stores.sandboxes.get_wire("ns", "s")
        for kind, call in (
            (AlreadyExists, stores.sandboxes.create("ns", replace(PLAIN, labels={}))),
            (InvalidArgument, stores.sandboxes.create("ns", replace(PLAIN, id="a b"))),
            (InvalidArgument, stores.sandboxes.update("ns", replace(PLAIN, labels={}), ["labels", "foo"])),
            (InvalidArgument, stores.sandboxes.update("ns", replace(PLAIN, runtime=Runtime("other")))),
            (NotFound, stores.sandboxes.update("ns", replace(PLAIN, id="t"))),
            (NotFound, stores.sandboxes.delete("ns", "t")),
            (NotFound, stores.sandboxes.delete("other", "s")),
        ):
            with pytest.raises(kind):
                await call
        assert stores.sandboxes.get_wire("ns", "s") == before
        await stores.sandboxes.delete("ns", "s")
        rows = await stores.database.read(
            lambda c: (
                c.execute("SELECT * FROM sandboxes").fetchall()
                + c.execute("SELECT * FROM objects WHERE kind = ?", (kinds.SANDBOXES,)).fetchall()
            )
        )
        assert rows == []

    with_stores(scratch, test)


@pytest.mark.parametrize(
    "request_",
    [
        sandbox_pb2.StoreCreateRequest(),
        sandbox_pb2.StoreCreateRequest(sandbox={"sandbox_id": "s"}),
        sandbox_pb2.StoreUpdateRequest(),
    ],
)
def test_a_request_without_its_named_part_is_refused(request_: Any, scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        service = SandboxesService(stores.sandboxes)
        is_create = isinstance(request_, sandbox_pb2.StoreCreateRequest)
        with pytest.raises(InvalidArgument, match=r"has no (sandbox|runtime)"):
            await (service.create(request_, CALL) if is_create else service.update(request_, CALL))

    with_stores(scratch, test)
