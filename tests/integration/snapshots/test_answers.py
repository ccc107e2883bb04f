"""What clients send to Snapshots, and what ours and stock answer to it: the same."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from pycontainerd.api.containerd.services.leases import v1_pb2 as leases_pb2
from pycontainerd.api.containerd.services.snapshots import v1_pb2 as pb
from tests.harness.asking import OverSocket, outcome, over_socket
from tests.harness.daemon import OURS, STOCK, Daemon
from tests.integration.snapshots.drivers import CONTRACT, LEASES

# Nobody holds these snapshots: the collector would take them between two steps.
NO_COLLECTION = """
[plugins.'io.containerd.gc.v1.scheduler']
  deletion_threshold = 100000
  mutation_threshold = 100000
  startup_delay = '0s'
"""
TARGET = "containerd.io/snapshot.ref"
UIDS, GIDS = "containerd.io/snapshot/uidmapping", "containerd.io/snapshot/gidmapping"

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Ask:
    """One call; the name of the snapshotter is filled in unless the request says one."""

    method: str
    request: Message
    lease: str = ""
    namespace: str | None = None


def prepare(key: str, parent: str = "", labels: Mapping[str, str] | None = None, *, lease: str = "") -> Ask:
    return Ask("prepare", pb.PrepareSnapshotRequest(key=key, parent=parent, labels=labels or {}), lease)


def view(key: str, parent: str = "", labels: Mapping[str, str] | None = None) -> Ask:
    return Ask("view", pb.ViewSnapshotRequest(key=key, parent=parent, labels=labels or {}))


def commit(name: str, key: str, parent: str = "", labels: Mapping[str, str] | None = None, *, lease: str = "") -> Ask:
    return Ask("commit", pb.CommitSnapshotRequest(name=name, key=key, parent=parent, labels=labels or {}), lease)


def mounts(key: str) -> Ask:
    return Ask("mounts", pb.MountsRequest(key=key))


def remove(key: str, *, lease: str = "") -> Ask:
    return Ask("remove", pb.RemoveSnapshotRequest(key=key), lease)


def stat(key: str) -> Ask:
    return Ask("stat", pb.StatSnapshotRequest(key=key))


def usage(key: str) -> Ask:
    return Ask("usage", pb.UsageRequest(key=key))


def update(key: str, labels: Mapping[str, str], *paths: str) -> Ask:
    info = pb.Info(name=key, labels=labels)
    return Ask("update", pb.UpdateSnapshotRequest(info=info, update_mask=FieldMask(paths=paths)))


def walk(*filters: str) -> Ask:
    return Ask("list", pb.ListSnapshotsRequest(filters=filters))


def held() -> Ask:
    return Ask("list_resources", leases_pb2.ListResourcesRequest(id="l"))


LONG = {"k": "v" * 5000}
CASES: dict[str, list[Ask]] = {
    "snapshotters that are none": [
        *(
            Ask(method, kind(snapshotter=name))
            for name in ("-", "zork")
            for method, kind in (
                ("prepare", pb.PrepareSnapshotRequest),
                ("view", pb.ViewSnapshotRequest),
                ("mounts", pb.MountsRequest),
                ("commit", pb.CommitSnapshotRequest),
                ("remove", pb.RemoveSnapshotRequest),
                ("stat", pb.StatSnapshotRequest),
                ("list", pb.ListSnapshotsRequest),
                ("usage", pb.UsageRequest),
                ("cleanup", pb.CleanupRequest),
            )
        ),
        Ask("cleanup", pb.CleanupRequest()),
    ],
    "no namespace": [
        *(Ask("prepare", pb.PrepareSnapshotRequest(key="a"), namespace=name) for name in ("", "a b")),
        *(Ask("list", pb.ListSnapshotsRequest(), namespace=name) for name in ("", "a b")),
    ],
    "names that are none": [
        prepare(""),
        view(""),
        stat(""),
        remove(""),
        mounts(""),
        usage(""),
        update("", {}),
        prepare("a"),
        commit("", "a"),
        commit("n", ""),
        *(ask("none") for ask in (stat, remove, mounts, usage)),
        update("none", {"a": "b"}),
        commit("n", "none"),
        prepare("b", "none"),
        view("b", "none"),
    ],
    "a life": [
        prepare("a", labels={"x": "y", "containerd.io/snapshot/foo": "bar", "e": ""}),
        prepare("a"),
        view("a"),
        stat("a"),
        usage("a"),
        mounts("a"),
        prepare("b", "a"),
        view("v"),
        usage("v"),
        commit("n", "v"),
        commit("c", "a", labels={"k": "v", "containerd.io/snapshot/z": "1"}),
        commit("c", "a"),
        stat("c"),
        usage("c"),
        mounts("c"),
        commit("d", "c"),
        prepare("b", "c"),
        commit("c", "b"),
        remove("c"),
        view("v1", "c"),
        commit("c2", "b"),
        view("v2", "c2"),
        prepare("e", "c2"),
        mounts("v2"),
        walk(),
        *(remove(key) for key in ("e", "v2", "v1", "c2", "c", "v")),
        walk(),
    ],
    "labels": [
        prepare("a", labels={"containerd.io/snapshot/w": "1"}),
        update("a", {"q": "1"}),
        update("a", {"r": "1"}, "labels.r"),
        update("a", {"containerd.io/snapshot/w": "2"}, "labels.containerd.io/snapshot/w"),
        update("a", {"r": ""}, "labels.r"),
        stat("a"),
        update("a", {"s": "1"}, "labels"),
        update("a", {"m": "1"}, "labels.m", "kind"),
        update("a", {}, "parent"),
        update("a", LONG),
        prepare("long", labels=LONG),
        commit("long", "a", labels=LONG),
        stat("a"),
    ],
    "filters": [
        prepare("a"),
        commit("c", "a", labels={"k": "v"}),
        prepare("d", "c"),
        view("e"),
        *(
            walk(text)
            for text in ("kind==active", "kind==committed", "name==c", "parent==c", "labels.k==v", "a==", 'parent==""')
        ),
        walk("parent"),
        walk("name==c", "kind==view"),
        walk("zork!=x,name~=^[cd]$"),
    ],
    "a rebase": [
        prepare("base-active"),
        commit("base", "base-active"),
        prepare("a"),
        prepare("b"),
        commit("n", "a", "none"),
        commit("n", "a", "b"),
        commit("n", "a", "base"),
        stat("n"),
        prepare("d", "base"),
        commit("m", "d", "none"),
        stat("m"),
    ],
    "a target": [
        prepare("a"),
        commit("c", "a"),
        prepare("t", labels={TARGET: "c"}),
        view("t", labels={TARGET: "c"}),
        prepare("t", "none", {TARGET: "c"}),
        stat("t"),
        prepare("t", "c", {TARGET: "other"}),
        stat("t"),
    ],
    "mapped ids": [
        prepare("a"),
        commit("c", "a"),
        prepare("b", "c", {UIDS: "0:1000:10", GIDS: "0:2000:10"}),
        prepare("d", "", {UIDS: "0:1000:10", GIDS: "0:2000:10"}),
        view("e", "c", {UIDS: "0:1000:10", GIDS: "0:2000:10"}),
        prepare("f", "c", {UIDS: "0:1000:10"}),
        prepare("g", "c", {UIDS: "junk", GIDS: "0:1:1"}),
        prepare("h", "c", {UIDS: "5:1:1", GIDS: "0:1:1"}),
        stat("g"),
    ],
    "a lease": [
        Ask("create", leases_pb2.CreateRequest(id="l")),
        prepare("x"),
        commit("c", "x"),
        prepare("t-active"),
        commit("t", "t-active"),
        prepare("a", lease="l"),
        prepare("c", lease="l"),
        prepare("b", "", {TARGET: "t"}, lease="l"),
        prepare("", lease="l"),
        prepare("d", "none", lease="l"),
        held(),
        commit("", "a", lease="l"),
        commit("c", "a", lease="l"),
        commit("n", "a", lease="l"),
        held(),
        remove("n", lease="l"),
        held(),
        prepare("e", lease="none"),
        prepare("f"),
        commit("g", "f", lease="none"),
        remove("f", lease="none"),
        walk(),
    ],
}


@pytest.fixture(scope="module")
def both(session_base: Path) -> Iterator[tuple[OverSocket, OverSocket]]:
    """Stock and ours."""
    with ExitStack() as stack:
        stock = stack.enter_context(Daemon.start(STOCK, session_base / "snap-stock", config=NO_COLLECTION))
        ours = stack.enter_context(Daemon.start(OURS, session_base / "snap-ours", config=NO_COLLECTION))
        yield stack.enter_context(over_socket(stock.address)), stack.enter_context(over_socket(ours.address))


@pytest.mark.parametrize("snapshotter", ["overlayfs", "native"])
@pytest.mark.parametrize("case", CASES)
def test_ours_answers_as_stock_does(both: tuple[OverSocket, OverSocket], case: str, snapshotter: str) -> None:
    namespace = f"snapshots-{next(_numbers)}"
    for step in CASES[case]:
        stock, ours = (answer(side, step, namespace, snapshotter) for side in both)
        assert ours == stock, step


def answer(side: OverSocket, step: Ask, namespace: str, snapshotter: str) -> str:
    """What came of *step*, without what differs from run to run."""
    request = type(step.request)()
    request.CopyFrom(step.request)
    if "snapshotter" in request.DESCRIPTOR.fields_by_name:
        said = getattr(request, "snapshotter", "") or snapshotter
        request.snapshotter = said.removeprefix("-")  # type: ignore[attr-defined] # has it, as its descriptor says
    contract = LEASES if step.method in {"create", "list_resources"} else CONTRACT
    where = namespace if step.namespace is None else step.namespace
    return normalized(outcome(side, contract, step.method, request, namespace=where, lease=step.lease))


def normalized(text: str) -> str:
    text = re.sub(r"(seconds|nanos): \d+", r"\1", text)
    text = re.sub(r"/dev/shm/\S*?/root/", "ROOT/", text)
    text = re.sub(r"snapshots/\d+", "snapshots/N", text)
    text = re.sub(r"(snapshots-\d+)/\d+/", r"\1/N/", text)
    # Maps come in no order.
    return re.sub(
        r"(  labels \{\n    key: .*\n(?:    value: .*\n)?  \}\n)+",
        lambda match: "".join(sorted(re.findall(r"  labels \{[^}]*\}\n", match[0]))),
        text,
    )
