"""The layers that our differ makes are those that stock containerd makes, byte for byte."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
import zstandard
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.content import v1_pb2 as content_pb2
from pycontainerd.api.containerd.services.diff import v1_pb2 as pb
from pycontainerd.api.containerd.services.leases import v1_pb2 as leases_pb2
from pycontainerd.errors import Error
from pycontainerd.mounts.model import Mount
from tests.harness.asking import OverSocket, over_socket
from tests.harness.daemon import OURS, STOCK, Daemon
from tests.harness.differences import deliberate
from tests.integration.diff.appliers import bind, overlay
from tests.integration.diff.trees import Entry, Tree, build, pairs

DIFF = pb.DESCRIPTOR.services_by_name["Diff"]
CONTENT = content_pb2.DESCRIPTOR.services_by_name["Content"]
LEASES = leases_pb2.DESCRIPTOR.services_by_name["Leases"]
PLAIN = "application/vnd.oci.image.layer.v1.tar"
LEASE = "layers"


@dataclass
class Made:
    """A layer, or the error instead."""

    data: bytes = b""
    labels: dict[str, str] = field(default_factory=dict)
    media_type: str = ""
    error: str = ""


class Side:
    """A daemon that makes layers."""

    def __init__(self, asker: OverSocket, namespace: str) -> None:
        self.asker = asker
        self.namespace = namespace
        asker.ask(LEASES, "create", leases_pb2.CreateRequest(id=LEASE), namespace=namespace)

    def diff(self, older: Sequence[Mount], newer: Sequence[Mount], **said: object) -> Made:
        request = pb.DiffRequest(left=_mounts(older), right=_mounts(newer), **said)  # type: ignore[arg-type]
        try:
            found = self.asker.ask(DIFF, "diff", request, namespace=self.namespace, lease=LEASE).diff
        except Error as error:
            return Made(error=f"{type(error).__name__}: {error.message}")
        read = content_pb2.ReadContentRequest(digest=found.digest)
        data = b"".join(r.data for r in self.asker.ask(CONTENT, "read", read, namespace=self.namespace))
        assert len(data) == found.size
        return Made(data, self.labels(found.digest), found.media_type)

    def labels(self, digest: str) -> dict[str, str]:
        request = content_pb2.InfoRequest(digest=digest)
        return dict(self.asker.ask(CONTENT, "info", request, namespace=self.namespace).info.labels)

    def refs(self) -> list[str]:
        request = content_pb2.ListStatusesRequest()
        found = self.asker.ask(CONTENT, "list_statuses", request, namespace=self.namespace).statuses
        return [status.ref for status in found]

    def forget(self) -> None:
        """Deletes all blobs of the namespace."""
        for batch in self.asker.ask(CONTENT, "list", content_pb2.ListContentRequest(), namespace=self.namespace):
            for info in batch.info:
                request = content_pb2.DeleteContentRequest(digest=info.digest)
                self.asker.ask(CONTENT, "delete", request, namespace=self.namespace)


@dataclass
class Pair:
    stock: Side
    ours: Side
    base: Path
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def place(self) -> Path:
        place = self.base / str(next(self.numbers))
        place.mkdir(parents=True)
        return place

    def both(self, older: Sequence[Mount], newer: Sequence[Mount], **said: object) -> tuple[Made, Made]:
        return self.stock.diff(older, newer, **said), self.ours.diff(older, newer, **said)


@pytest.fixture(scope="module")
def pair(session_base: Path) -> Iterator[Pair]:
    base = session_base / "comparing"
    with ExitStack() as stack:
        sides = []
        for kind in (STOCK, OURS):
            daemon = stack.enter_context(Daemon.start(kind, base / f"{kind}"))
            asker = stack.enter_context(over_socket(daemon.address))
            sides.append(Side(asker, daemon.namespace))
        yield Pair(sides[0], sides[1], base / "t")
    shutil.rmtree(base, ignore_errors=True)


def _mounts(mounts: Sequence[Mount]) -> list[types_pb2.Mount]:
    return [types_pb2.Mount(type=m.type, source=m.source, target=m.target, options=m.options) for m in mounts]


FIXED: list[tuple[Tree, Tree]] = [
    ((), ()),
    ((), (Entry(("a", "b", "c"), "file", b"data"),)),
    ((Entry(("a", "b"), "file"), Entry(("c",), "directory")), ()),
    # A directory that became a file, and a file that became a directory.
    ((Entry(("a", "x"), "file"), Entry(("b",), "file")), (Entry(("a",), "file"), Entry(("b", "x"), "file"))),
    # Names that sort otherwise as paths than as bytes.
    ((Entry(("a", "z"), "file"),), (Entry(("a", "y"), "file"), Entry(("a.b",), "file"), Entry(("a-b", "c"), "file"))),
    # Equal times of whole seconds: the bytes tell.
    ((Entry(("f",), "file", b"1"), Entry(("l",), "link", to=1)), (Entry(("f",), "file", b"2"), Entry(("l",), "link"))),
    # A new name of a file that did not change brings all of them.
    (
        (Entry(("d", "a"), "file", b"data"), Entry(("e",), "hard")),
        (Entry(("d", "a"), "file", b"data"), Entry(("e",), "hard"), Entry(("f",), "hard"), Entry(("g",), "hard")),
    ),
]


@pytest.mark.parametrize("trees", FIXED)
def test_fixed_trees_give_equal_layers(pair: Pair, trees: tuple[Tree, Tree]) -> None:
    check(pair, trees)


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(pairs())
def test_generated_trees_give_equal_layers(pair: Pair, trees: tuple[Tree, Tree]) -> None:
    check(pair, trees)


def check(pair: Pair, trees: tuple[Tree, Tree]) -> None:
    place = pair.place()
    try:
        for name, tree in zip(("older", "newer"), trees, strict=True):
            build(place / name, tree)
        stock, ours = pair.both(bind(place / "older"), bind(place / "newer"), media_type=PLAIN)
        assert ours.error == stock.error
        assert ours.data == stock.data
    finally:
        shutil.rmtree(place)


def test_overlays_give_equal_layers(pair: Pair) -> None:
    place = pair.place()
    lower, upper, work = (place / name for name in ("lower", "upper", "work"))
    build(lower, (Entry(("kept",), "file", b"1"), Entry(("gone", "below"), "file"), Entry(("opaque", "x"), "file")))
    build(upper, (Entry(("new",), "file", b"1"), Entry(("opaque", "y"), "file")))
    os.mknod(upper / "gone", 0o020000)
    os.setxattr(upper / "opaque", "trusted.overlay.opaque", b"y")
    work.mkdir()
    stock, ours = pair.both(bind(lower), overlay(upper, work, [lower]), media_type=PLAIN)
    assert (ours.error, stock.error) == ("", "")
    assert ours.data == stock.data


def test_no_mounts_are_an_empty_tree(pair: Pair) -> None:
    place = pair.place()
    build(place / "tree", (Entry(("a", "b"), "file", b"data"),))
    for sides in (((), bind(place / "tree")), (bind(place / "tree"), ())):
        stock, ours = pair.both(*sides, media_type=PLAIN)
        assert (ours.data, ours.error) == (stock.data, stock.error)


@pytest.mark.parametrize("media_type", ["", PLAIN, f"{PLAIN}+gzip", f"{PLAIN}+zstd"])
def test_labels_types_and_plain_bytes_are_equal(pair: Pair, media_type: str) -> None:
    place = pair.place()
    build(place / "old", ())
    build(place / "new", (Entry(("a",), "file", media_type.encode() * 1000),))
    stock, ours = pair.both(bind(place / "old"), bind(place / "new"), media_type=media_type, labels={"by": "me"})
    assert (ours.media_type, ours.labels) == (stock.media_type, stock.labels)
    assert _plain(ours) == _plain(stock)
    if ours.media_type.endswith("+gzip"):
        assert ours.data[:10] == stock.data[:10]


def _plain(made: Made) -> bytes:
    if made.media_type.endswith("+gzip"):
        return gzip.decompress(made.data)
    if made.media_type.endswith("+zstd"):
        return zstandard.ZstdDecompressor().decompressobj().decompress(made.data)
    return made.data


def test_times_are_bounded_by_the_epoch_of_the_source(pair: Pair) -> None:
    place = pair.place()
    build(place / "old", (Entry(("gone",), "file"),))
    build(place / "new", (Entry(("early",), "file", time_ns=10**17), Entry(("late",), "file", time_ns=2 * 10**18)))
    epoch = Timestamp(seconds=10**9, nanos=5)
    stock, ours = pair.both(bind(place / "old"), bind(place / "new"), media_type=PLAIN, source_date_epoch=epoch)
    assert ours.data == stock.data
    assert ours.error == ""


def test_a_known_blob_gets_the_label_of_its_plain_bytes(pair: Pair) -> None:
    place = pair.place()
    build(place / "old", ())
    build(place / "new", (Entry(("a",), "file", b"known"),))
    for side in (pair.stock, pair.ours):
        first = side.diff(bind(place / "old"), bind(place / "new"))
        digest = f"sha256:{hashlib.sha256(first.data).hexdigest()}"
        info = content_pb2.Info(digest=digest, labels={"other": "label"})
        side.asker.ask(CONTENT, "update", content_pb2.UpdateRequest(info=info), namespace=side.namespace)
        assert side.labels(digest) == {"other": "label"}
        again = side.diff(bind(place / "old"), bind(place / "new"), labels={"not": "added"})
        assert again.labels == {**first.labels, "other": "label"}


def test_wrong_requests_are_answered_alike_and_leave_nothing(pair: Pair) -> None:
    place = pair.place()
    build(place / "tree", ())
    wrong: list[tuple[Sequence[Mount], Sequence[Mount], dict[str, object]]] = [
        (bind(place / "tree"), bind(place / "tree"), {"media_type": "x/y"}),
        (bind(place / "tree"), bind(place / "tree"), {"labels": {"k": "v" * 5000}}),
    ]
    for older, newer, said in wrong:
        stock, ours = pair.both(older, newer, **said)
        assert deliberate("layer-mounts-unseen")
        assert ours.error == re.sub(r"mount callback failed on \S+: ", "", stock.error)
        assert ours.error
    for older, newer in ((bind(place / "no"), bind(place / "tree")), (bind(place / "tree"), bind(place / "no"))):
        stock, ours = pair.both(older, newer)
        assert ours.error.split(":")[0] == stock.error.split(":")[0] == "Unknown"
    assert pair.ours.refs() == pair.stock.refs() == []


def test_a_ref_that_is_given_begins_anew(pair: Pair) -> None:
    place = pair.place()
    build(place / "old", ())
    build(place / "new", (Entry(("a",), "file", b"by ref"),))
    for side in (pair.stock, pair.ours):
        stream = [
            content_pb2.WriteContentRequest(action=content_pb2.WRITE, ref="mine", data=b"something else"),
        ]
        write = side.asker.channel.stream_stream(
            "/containerd.services.content.v1.Content/Write",
            content_pb2.WriteContentRequest.SerializeToString,
            content_pb2.WriteContentResponse.FromString,
        )
        headers = (("containerd-namespace", side.namespace), ("containerd-lease", LEASE))
        list(write(iter(stream), metadata=headers))
        assert side.refs() == ["mine"]
    stock, ours = pair.both(bind(place / "old"), bind(place / "new"), media_type=PLAIN, ref="mine")
    assert (ours.data, ours.error) == (stock.data, "")
    assert pair.ours.refs() == pair.stock.refs() == []


def test_a_client_that_leaves_ends_the_worker(pair: Pair) -> None:
    place = pair.place()
    (place / "old").mkdir()
    (place / "new").mkdir()
    with (place / "new" / "large").open("wb") as file:
        file.truncate(8 << 30)
    call = pair.ours.asker.channel.unary_unary(
        "/containerd.services.diff.v1.Diff/Diff", pb.DiffRequest.SerializeToString, pb.DiffResponse.FromString
    ).future(
        pb.DiffRequest(left=_mounts(bind(place / "old")), right=_mounts(bind(place / "new")), media_type=PLAIN),
        metadata=(("containerd-namespace", pair.ours.namespace),),
    )
    while not pair.ours.refs():
        time.sleep(0.01)
    call.cancel()  # type: ignore[no-untyped-call]
    with pytest.raises(grpc.FutureCancelledError):
        call.result()
    while pair.ours.refs():
        time.sleep(0.01)
