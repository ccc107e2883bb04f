"""Labels: limits, rows, and what they mean to the collector."""

from __future__ import annotations

from pathlib import Path

import pytest

from pycontainerd.errors import InvalidArgument, Unknown
from pycontainerd.metadata import fieldmask, kinds, labels, objects
from pycontainerd.metadata.references import NOT_ROOT, ROOT_FLAT, ROOT_WHOLE, Edge, meaning
from pycontainerd.metadata.times import parse_rfc3339
from pycontainerd.metadata.transaction import Transaction
from tests.harness.clocks import NS
from tests.harness.stores import Stores, with_stores

DIGEST = "sha256:" + "a" * 64
OVERLAY = kinds.snapshots("overlayfs")
HOUR = 3_600 * NS


def test_key_and_value_have_4096_bytes_together() -> None:
    labels.validate({"a": "x" * 4095, "é": "é" * 2047})
    with pytest.raises(InvalidArgument) as raised:
        labels.validate({"é" * 40: "é" * 2048}, "image.Labels")
    assert raised.value.message == (
        "image.Labels: label key and value length (4176 bytes) greater than maximum size (4096 bytes), key: " + "é" * 32
    )


def test_a_label_without_value_is_not_stored_and_one_without_key_is_refused() -> None:
    assert labels.stored({"a": "", "b": "c", "": ""}) == {"b": "c"}
    with pytest.raises(Unknown, match='failed to set label ""="x": key required'):
        labels.stored({"": "x"})


@pytest.mark.parametrize(
    ("key", "edge"),
    [
        ("containerd.io/gc.ref.content", Edge(kinds.CONTENT, "v")),
        ("containerd.io/gc.ref.content.l.0", Edge(kinds.CONTENT, "v")),
        ("containerd.io/gc.ref.content/any", Edge(kinds.CONTENT, "v")),
        ("containerd.io/gc.ref.contentx", None),
        ("containerd.io/gc.ref.image.x", Edge(kinds.IMAGES, "v")),
        ("containerd.io/gc.ref.snapshot.overlayfs", Edge(OVERLAY, "v")),
        ("containerd.io/gc.ref.snapshot.overlayfs/a/b", Edge(OVERLAY, "v")),
        ("containerd.io/gc.ref.snapshot.a.b", Edge(kinds.snapshots("a.b"), "v")),
        ("containerd.io/gc.ref.snapshot", None),
        ("containerd.io/gc.ref.snapshotx.y", None),
        ("containerd.io/gc.ref.container.x", None),
        ("containerd.io/gc.bref.container", Edge(kinds.CONTAINERS, "v", back=True)),
        ("containerd.io/gc.bref.content.x", Edge(kinds.CONTENT, "v", back=True)),
        ("containerd.io/gc.bref.image/x", Edge(kinds.IMAGES, "v", back=True)),
        ("containerd.io/gc.bref.snapshot.overlayfs/x", Edge(OVERLAY, "v", back=True)),
        ("containerd.io/gc.brefx", None),
        ("containerd.io/gc.ref.stream", Edge(kinds.STREAMS, "v")),
        ("containerd.io/gc.ref.mount/x", Edge(kinds.MOUNTS, "v")),
        ("containerd.io/gc.bref.mount", None),
        ("containerd.io/gc.root", None),
        ("xcontainerd.io/gc.ref.content", None),
    ],
)
def test_what_a_label_refers_to(key: str, edge: Edge | None) -> None:
    assert meaning(kinds.CONTENT, {key: "v"}).edges == (frozenset() if edge is None else {edge})


CONDITION = "containerd.io/gc.cond.snapshot"


@pytest.mark.parametrize(
    ("key", "value", "edge"),
    [
        (f"{CONDITION}.overlayfs", "usedat<1m|k", Edge(OVERLAY, "k", within_ns=60 * NS)),
        (f"{CONDITION}.overlayfs/any", "usedat>1m|k", Edge(OVERLAY, "k", beyond_ns=60 * NS)),
        (f"{CONDITION}/overlayfs/any", "usedat>1m|k", Edge(OVERLAY, "k", beyond_ns=60 * NS)),
        (f"{CONDITION}.overlayfs", "usedat<1m,foo,usedat<2m|k|l", Edge(OVERLAY, "k|l", within_ns=120 * NS)),
        (f"{CONDITION}.overlayfs", "usedat<1m,usedat>1h,usedat>2h|k", Edge(OVERLAY, "k", False, False, 60 * NS, HOUR)),
        (f"{CONDITION}.overlayfs", "usedat<-1s|k", Edge(OVERLAY, "k", within_ns=-NS)),
        *[
            (f"{CONDITION}.overlayfs", value, None)
            for value in (
                *("usedat<1m", "usedat<=1m|k", "usedat=1m|k", "usedat==1m|k", "usedat!=1m|k", "usedat<x|k", "usedat|k"),
                *("size<1m|k", "|k", ""),
            )
        ],
    ],
)
def test_what_a_condition_refers_to(key: str, value: str, edge: Edge | None) -> None:
    expected = frozenset() if edge is None else {edge}
    for kind in (kinds.CONTENT, kinds.IMAGES):
        assert meaning(kind, {key: value}).edges == expected
    for kind in (OVERLAY, kinds.CONTAINERS, kinds.SANDBOXES):
        assert meaning(kind, {key: value}).edges == frozenset()


def test_conditions_on_one_snapshot_are_alternatives_and_a_reference_needs_none() -> None:
    two = {f"{CONDITION}.overlayfs/1": "usedat<1m|k", f"{CONDITION}.overlayfs/2": "usedat>1h|k"}
    assert meaning(kinds.IMAGES, two).edges == {Edge(OVERLAY, "k", False, False, 60 * NS, HOUR)}
    held = {**two, "containerd.io/gc.ref.snapshot.overlayfs": "k"}
    assert meaning(kinds.IMAGES, held).edges == {Edge(OVERLAY, "k")}


def test_only_snapshots_say_when_they_were_used() -> None:
    said = {"containerd.io/gc.cond.value-usedat": "1970-01-01T00:00:05Z"}
    assert meaning(OVERLAY, said).used_ns == 5 * NS
    assert meaning(OVERLAY, {"containerd.io/gc.cond.value-usedat": "x"}).used_ns is None
    assert meaning(kinds.IMAGES, said).used_ns is None


def test_an_activation_is_kept_and_keeps_nothing() -> None:
    said = {"containerd.io/gc.ref.content": "v", "containerd.io/gc.bref.container": "c"}
    assert meaning(kinds.MOUNTS, said).edges == {Edge(kinds.CONTAINERS, "c", back=True)}


def test_the_labels_of_leases_refer_to_nothing() -> None:
    assert meaning(kinds.LEASES, {"containerd.io/gc.ref.content": "v"}).edges == frozenset()


@pytest.mark.parametrize(
    ("kind", "said", "root"),
    [
        (kinds.CONTENT, {}, NOT_ROOT),
        (kinds.CONTENT, {"containerd.io/gc.root": "x"}, ROOT_WHOLE),
        (kinds.CONTENT, {"containerd.io/gc.rootless": "x"}, ROOT_WHOLE),
        (OVERLAY, {"containerd.io/gc.root.any": "x"}, ROOT_WHOLE),
        (OVERLAY, {"containerd.io/gc.expire": "2000-01-01T00:00:00Z"}, NOT_ROOT),
        (kinds.IMAGES, {}, ROOT_WHOLE),
        (kinds.CONTAINERS, {}, ROOT_WHOLE),
        (kinds.SANDBOXES, {}, ROOT_WHOLE),
        (kinds.MOUNTS, {"containerd.io/gc.root": "x"}, NOT_ROOT),
        (kinds.LEASES, {}, ROOT_WHOLE),
        (kinds.LEASES, {"containerd.io/gc.flat": "any"}, ROOT_FLAT),
        (kinds.INGESTS, {}, NOT_ROOT),
    ],
)
def test_what_lives_by_itself(kind: str, said: dict[str, str], root: int) -> None:
    assert meaning(kind, said).root == root


def test_only_images_and_leases_expire(caplog: pytest.LogCaptureFixture) -> None:
    said = {"containerd.io/gc.expire": "1970-01-01T00:00:01Z"}
    assert {kind: meaning(kind, said).expires_ns for kind in (kinds.IMAGES, kinds.LEASES, kinds.CONTENT)} == {
        kinds.IMAGES: 1_000_000_000,
        kinds.LEASES: 1_000_000_000,
        kinds.CONTENT: None,
    }
    assert meaning(kinds.LEASES, {"containerd.io/gc.expire": "soon"}).expires_ns is None
    assert "'soon'" in caplog.text


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.5Z", 500_000_000),
        ("1970-01-01T00:00:00.1234567891Z", 123_456_789),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:00:00-01:30", 1_800_000_000_000),
        ("9999-12-31T23:59:59Z", 2**63 - 1),
        ("0001-01-01T00:00:00Z", -(2**63)),
        ("1970-01-01", None),
        ("1970-02-30T00:00:00Z", None),
        ("1970-01-01T00:00:00", None),
        ("1970-01-01 00:00:00Z", None),
        ("1970-01-01T25:00:00Z", None),
        ("\u0661970-01-01T00:00:00Z", None),
    ],
)
def test_times_are_read_as_go_reads_them(text: str, ns: int | None) -> None:
    assert parse_rfc3339(text) == ns


@pytest.mark.parametrize(
    ("paths", "result"),
    [
        ([], {"b": "2", "c": ""}),
        (["labels"], {"b": "2", "c": ""}),
        (["labels.b"], {"a": "1", "b": "2"}),
        (["labels.a"], {}),
        (["labels.c"], {"a": "1"}),
        (["labels.b", "labels.a"], {"b": "2"}),
        (["spec"], {"a": "1"}),
        (["labelsx"], {"a": "1"}),
    ],
)
def test_masks_change_what_they_name(paths: list[str], result: dict[str, str]) -> None:
    assert fieldmask.patched({"a": "1"}, {"b": "2", "c": ""}, paths) == result


def test_a_key_keeps_its_dots() -> None:
    assert fieldmask.key_of("labels.a.b", "labels") == "a.b"
    assert fieldmask.key_of("labels.", "labels") == ""
    assert fieldmask.key_of("labels", "labels") is None


def test_replacing_labels_replaces_what_they_mean(scratch: Path) -> None:
    ref, bref = "containerd.io/gc.ref.content.x", "containerd.io/gc.bref.image"

    async def test(stores: Stores) -> None:
        def rows(tx: Transaction) -> tuple[list[tuple[str, str, int]], tuple[int]]:
            edges = tx.execute("SELECT kind, name, back FROM edges ORDER BY kind").fetchall()
            return edges, tx.execute("SELECT root FROM objects WHERE kind = 'content'").fetchone()

        def make(tx: Transaction) -> int:
            id_ = objects.insert(tx, "ns", kinds.CONTENT, DIGEST)
            assert id_ is not None
            labels.replace(tx, id_, {ref: "d", bref: "i", "containerd.io/gc.root": "1", "e": ""})
            return id_

        id_ = await stores.database.write(make)
        assert await stores.database.write(rows) == ([("content", "d", 0), ("images", "i", 1)], (1,))
        await stores.database.write(lambda tx: labels.replace(tx, id_, {ref: "d2"}))
        assert await stores.database.write(rows) == ([("content", "d2", 0)], (0,))
        with stores.database.reading() as connection:
            assert labels.read(connection, id_) == {ref: "d2"}
            assert labels.read_all(connection, "ns", kinds.CONTENT) == {id_: {ref: "d2"}}

    with_stores(scratch, test)
