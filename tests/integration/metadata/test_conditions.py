"""Snapshots that live by a condition, and what sandboxes hold: the same against stock, which is right, and ours."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest

from pycontainerd.api.containerd.services.sandbox import v1_pb2 as sb
from tests.integration.metadata.house import House, refs
from tests.integration.metadata.sandbox_chains import STORE, sandbox

PAST: Final = "2001-01-01T00:00:00Z"
CONDITION: Final = "containerd.io/gc.cond.snapshot"
NOBODY: Final = "sha256:" + "0" * 64


def used(seconds_ago: float) -> Mapping[str, str]:
    """The label of a snapshot that was used so long ago."""
    at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return {"containerd.io/gc.cond.value-usedat": at.strftime("%Y-%m-%dT%H:%M:%SZ")}


@pytest.mark.parametrize(
    ("seconds_ago", "condition", "holds"),
    [
        (5, "usedat<1h", True),
        (7200, "usedat<1h", False),
        (7200, "usedat>1h", True),
        (5, "usedat>1h", False),
        (5, "usedat>1h,usedat<1h", True),
        (5, "other<1h,usedat<1h", True),
        (5, "usedat<=1h", False),
        (5, "usedat=5s", False),
        (5, "usedat!=1h", False),
        (5, "usedat", False),
        (5, "other<1h", False),
    ],
)
def test_an_image_holds_a_snapshot_while_the_condition_does(
    seconds_ago: float, condition: str, holds: bool, house: House
) -> None:
    house.snapshot("s", labels=used(seconds_ago))
    house.image("i", NOBODY, {f"{CONDITION}.native": f"{condition}|s"})
    house.collect()
    assert house.snapshots() == ({"s"} if holds else set())


@pytest.mark.parametrize(
    ("key", "holds"), [(".native", True), (".native/", True), ("/native/x", True), (".native/x/y", True), (".x", False)]
)
def test_a_condition_names_the_snapshotter(key: str, holds: bool, house: House) -> None:
    house.snapshot("s", labels=used(5))
    house.image("i", NOBODY, {CONDITION + key: "usedat<1h|s"})
    house.collect()
    assert house.snapshots() == ({"s"} if holds else set())


def test_what_never_said_when_it_was_used_meets_no_condition(house: House) -> None:
    house.snapshot("s")
    house.image("i", NOBODY, {f"{CONDITION}.native/1": "usedat<1h|s", f"{CONDITION}.native/2": "usedat>1h|s"})
    house.collect()
    assert house.snapshots() == set()


def test_a_blob_that_lives_holds_by_condition_and_other_kinds_do_not(house: House) -> None:
    for name in ("blob", "dead", "snapshot", "container"):
        house.snapshot(name, labels=used(5))
    house.blob("root", {f"{CONDITION}.native": "usedat<1h|blob", "containerd.io/gc.root": "x"})
    house.blob("dead", {f"{CONDITION}.native": "usedat<1h|dead"})
    house.snapshot("root", labels={f"{CONDITION}.native": "usedat<1h|snapshot", "containerd.io/gc.root": "x"})
    house.container("c", labels={f"{CONDITION}.native": "usedat<1h|container"})
    house.collect()
    assert house.snapshots() == {"blob", "root"}


def test_a_snapshot_does_not_hold_what_has_a_condition_on_it(house: House) -> None:
    house.snapshot("s", labels={"containerd.io/gc.root": "x", **used(5)})
    target = house.blob("target", {f"{CONDITION}.native": "usedat<1h|s"})
    house.image("i", target, {"containerd.io/gc.expire": PAST, f"{CONDITION}.native": "usedat<1h|s"})
    house.collect()
    assert (house.images(), house.blobs(), house.snapshots()) == (set(), set(), {"s"})


def test_a_sandbox_holds_what_its_labels_name(house: House) -> None:
    needed, target = house.blob("needed"), house.blob("target")
    house.snapshot("parent")
    house.snapshot("child", "parent")
    house.image("expired", target, {"containerd.io/gc.expire": PAST})
    labels = {**refs("content", needed), **refs("image", "expired"), "containerd.io/gc.ref.snapshot.native": "child"}
    request = sb.StoreCreateRequest(sandbox=sandbox(labels=labels))
    house.ask(STORE, "create", request, lease="")
    house.collect()
    assert (house.blobs(), house.snapshots(), house.images()) == ({needed, target}, {"parent", "child"}, {"expired"})
    house.ask(STORE, "delete", sb.StoreDeleteRequest(sandbox_id="s"), lease="")
    house.lease("while-making")
    house.collect()
    assert (house.blobs(), house.snapshots(), house.images()) == (set(), set(), set())


def test_a_sandbox_is_never_collected(house: House) -> None:
    house.ask(STORE, "create", sb.StoreCreateRequest(sandbox=sandbox()), lease="")
    house.collect()
    assert [found.sandbox_id for found in house.ask(STORE, "list", sb.StoreListRequest(), lease="").list] == ["s"]
