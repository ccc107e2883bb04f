"""Activations answer as stock's do, for a client, for a task and for the collector."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from pycontainerd.api.containerd.services.content import v1_pb2 as ct
from pycontainerd.api.containerd.services.diff import v1_pb2 as df
from pycontainerd.api.containerd.services.leases import v1_pb2 as ls
from pycontainerd.api.containerd.services.mounts import v1_pb2 as mt
from pycontainerd.api.containerd.types_pb2 import Descriptor, Mount
from tests.harness.asking import Asker, OverSocket, over_socket
from tests.harness.daemon import OURS, STOCK, Daemon
from tests.harness.differences import deliberate
from tests.integration.metadata.house import House, digest_of
from tests.integration.metadata.questions import LEASES, NOWHERE, Question, create_lease
from tests.integration.metadata.test_against_stock import answer

MOUNTS: Final = mt.DESCRIPTOR.services_by_name["Mounts"]
DIFF: Final = df.DESCRIPTOR.services_by_name["Diff"]
STATE: Final = "io.containerd.mount-manager.v1.bolt"
UUID: Final = "12345678-1234-1234-1234-123456789abc"


@dataclass
class Place:
    """A daemon and how it is asked."""

    daemon: Daemon
    asker: OverSocket

    def answer(self, question: Question) -> str:
        """The answer with the names of directories that depend on the daemon made alike."""
        text = re.sub(r"\s+", " ", str(answer(self.asker, question, "mounts")))
        return re.sub(rf"{STATE}/t/\d+", "T", text.replace(str(self.daemon.base), "BASE"))


def mount(type_: str, source: str = "none", target: str = "", *options: str) -> Mount:
    return Mount(type=type_, source=source, target=target, options=options)


def activate(name: str, *mounts: Mount, temporary: bool = False, labels: Any = None, **where: Any) -> Question:
    """Under a lease: a collection may come at any time."""
    request = mt.ActivateRequest(name=name, mounts=mounts, temporary=temporary, labels=labels)
    return Question(MOUNTS, "activate", request, lease="held", **where)


def info(name: str, **where: Any) -> Question:
    return Question(MOUNTS, "info", mt.InfoRequest(name=name), **where)


def deactivate(name: str, **where: Any) -> Question:
    return Question(MOUNTS, "deactivate", mt.DeactivateRequest(name=name), **where)


def list_(*filters: str, **where: Any) -> Question:
    return Question(MOUNTS, "list", mt.ListRequest(filters=filters), **where)


TMPFS: Final = mount("tmpfs")


def names(base: Path) -> Sequence[Question]:
    return [
        list_(),
        *[ask(name) for name in ("x", "") for ask in (info, deactivate)],
        Question(MOUNTS, "update", mt.UpdateRequest()),
        activate("plain", TMPFS),
        activate("", TMPFS),
        activate("empty"),
        activate("empty", temporary=True),
        activate("a", TMPFS, temporary=True, labels={"k": "v", "e": "", "containerd.io/gc.bref.container": "c"}),
        activate("a", TMPFS, temporary=True),
        activate("a", TMPFS),
        info("a"),
        info("a", namespace=NOWHERE),
        info("a", namespace=None),
        deactivate("a", namespace=None),
        activate("", TMPFS, temporary=True),
        activate("a b\n", TMPFS, temporary=True),
        activate("long", TMPFS, temporary=True, labels={"a": "x" * 5000}),
        activate("nokey", TMPFS, temporary=True, labels={"": "x"}),
        activate("x", TMPFS, temporary=True, namespace=None),
        activate("x", TMPFS, temporary=True, namespace="a b"),
        activate("two", TMPFS, mount("bind", f"{base}/root", "", "rbind"), temporary=True),
        activate("many", *[TMPFS] * 12, temporary=True),
        list_(),
        list_("garbage=="),
        list_(namespace=NOWHERE),
        list_(namespace=None),
        *[deactivate(name) for name in ("a", "a", "a b\n", "long", "nokey", "two", "many", "nope", "")],
        list_(),
    ]


def types(base: Path) -> Sequence[Question]:
    return [
        activate("a", mount("foo/bind", "/x")),
        activate("a", mount("foo/format/bind", "{{ 1 }}")),
        activate("a", mount("format", "{{ 1 }}")),
        *[
            question
            for type_ in ("format/foo/bind", "format/", "mkdir/bind", "format/mkdir/format/bind")
            for question in (activate("a", mount(type_, "{{ 1 }}")), info("a"), deactivate("a"))
        ],
        activate("bad", TMPFS, mount("bind", "/nonexistent", "", "rbind", "ro"), temporary=True),
        activate("bad", mount("nofs"), temporary=True),
        activate("bad", mount("tmpfs", "none", "below"), temporary=True),
        activate("bad", mount("loop", "/x"), temporary=True),
        activate("loop", mount("loop", "/x")),
        info("bad"),
        deactivate("bad"),
        list_(),
    ]


TEMPLATES: Final = (
    *("{{ mount 0 }}", "{{ mount 2 }}", "{{ mount 3 }}", "{{ source 0 }}", "{{ target 1 }}", "{{ overlay 0 2 }}"),
    *("{{ overlay 2 0 }}", "{{ overlay 1 1 }}", "{{ overlay 0 3 }}", "{{mount 0}}-{{ source 1 }}", "{{ foo }}"),
    *("{{ mount }}", "{{ mount 0 1 }}", "{{", '{{ mount "a" }}', "{{ mount -1 }}", "x{{ 5 }}y", "{{- mount 0 -}} "),
    *("{{/* c */}}x", '{{ "a" }}', "{{ mount 1e0 }}", "{{ mount 0x0 }}", "{{ (mount 0) }}", "}}", "{{ }}", "{{ nil }}"),
    *("{{ true }}", "a {{- 1 -}} b", "plain", ""),
)


def templates(base: Path) -> Sequence[Question]:
    three = [mount("tmpfs", f"s{number}") for number in range(3)]
    return [
        question
        for template in TEMPLATES
        for question in (
            activate("f", *three, mount("format/bind", template, "", "ro", template)),
            deactivate("f"),
        )
    ]


def making(base: Path) -> Sequence[Question]:
    root, size = f"{base}/root", "X-containerd.mkfs.size="
    files: Mapping[str, Sequence[str]] = {
        f"{root}/none": (),
        f"{root}/one": (f"{size}1MiB",),
        f"{root}/two": (f"{size}2MB", "X-containerd.mkfs.fs=ext2", f"X-containerd.mkfs.uuid={UUID}", "ro", "X-other=1"),
        f"{root}/zero": (f"{size}0",),
        f"{root}/bad": (f"{size}zz",),
        f"{root}/negative": (f"{size}-1",),
        f"{root}/suffix": (f"{size}1x",),
        f"{root}/type": (f"{size}1MiB", "X-containerd.mkfs.fs=zfs"),
        f"{root}/option": ("X-containerd.mkfs.foo=1",),
        f"{root}/bare": ("X-containerd.mkfs.size",),
        f"{root}/uuid": (f"{size}1MiB", "X-containerd.mkfs.uuid=zz"),
        f"{root}/no/such": (f"{size}1MiB",),
        f"{root}/../up": (f"{size}1MiB",),
        f"{base}/outside": (f"{size}1MiB",),
        "relative": (f"{size}1MiB",),
        root: (f"{size}1MiB",),
    }
    directories = (
        *(f"{root}/d1", f"{root}/d1:0755", f"{root}/d2:0755:0:0", f"{root}/d3:0755:1:1", f"{root}/d4:99"),
        *("/tmp/elsewhere", f"{root}/no/such/dir", "", f"{root}/d5:0755:x:0", f"{root}/d6:0755:0", f"{root}/d7:1777"),
        *(f"{root}/d8:0755:0:0:0", root, f"{root}/../d9", f"{root}/d10:", f"{root}/d11:0755:0:", f"{root}/d12:-1"),
    )
    chain = mount("format/mkdir/bind", "{{ mount 0 }}/up", "", "X-containerd.mkdir.path={{ mount 0 }}/up", "rbind")
    return [
        *[
            question
            for path, options in files.items()
            for question in (activate("f", mount("mkfs/loop", path, "", *options)), info("f"), deactivate("f"))
        ],
        *[
            question
            for path in directories
            for question in (
                activate("d", mount("mkdir/bind", root, "", f"X-containerd.mkdir.path={path}", "ro")),
                deactivate("d"),
            )
        ],
        activate("d", mount("mkdir/bind", root, "", "X-containerd.mkdir.foo=1")),
        activate("chain", TMPFS, chain),
        info("chain"),
        deactivate("chain"),
    ]


CHAINS: Final[dict[str, Callable[[Path], Sequence[Question]]]] = {
    "names": names,
    "types": types,
    "templates": templates,
    "making": making,
}


@pytest.fixture(scope="module")
def places(session_base: Path) -> Iterator[Sequence[Place]]:
    with (
        Daemon.start(STOCK, session_base / "mt-stock") as stock,
        Daemon.start(OURS, session_base / "mt-ours") as ours,
        over_socket(stock.address) as ask_stock,
        over_socket(ours.address) as ask_ours,
    ):
        yield Place(stock, ask_stock), Place(ours, ask_ours)


@pytest.mark.parametrize("name", CHAINS)
def test_every_answer_is_the_one_of_stock(name: str, places: Sequence[Place]) -> None:
    stock, ours = places
    different = []
    for place in places:
        place.answer(create_lease("held"))
    for theirs, own in zip(CHAINS[name](stock.daemon.base), CHAINS[name](ours.daemon.base), strict=True):
        expected, found = stock.answer(theirs), ours.answer(own)
        if expected != found:
            different.append(f"{theirs}\n  stock: {expected}\n  ours:  {found}")
    assert different == []


def test_a_temporary_activation_may_have_transformers(places: Sequence[Place]) -> None:
    deliberate("temporary-transforms-taken")
    ours = places[1]
    again = mount("format/bind", "{{ mount 0 }}", "", "rbind")
    assert "T/1" in ours.answer(activate("temporary", TMPFS, again, temporary=True))
    assert ours.answer(deactivate("temporary")) == ""


@pytest.mark.parametrize(
    "template", ["{{ if true }}x{{ end }}", "{{ . }}", '{{ printf "%d" 3 }}', "{{ mount 0 | len }}"]
)
def test_templates_are_refused_beyond_what_snapshotters_write(template: str, places: Sequence[Place]) -> None:
    deliberate("templates-bounded")
    assert "template: :1:" in places[1].answer(activate("t", TMPFS, mount("format/bind", template)))


def active(asker: Asker, namespace: str) -> set[str]:
    return {reply.info.name for reply in asker.ask(MOUNTS, "list", mt.ListRequest(), namespace=namespace)}


def test_a_layer_is_applied_to_mounts_that_need_a_transformer(house: House) -> None:
    layer = house.daemon.base / "layer.tar"
    with tarfile.open(layer, "w") as tar:
        tar.addfile(tarfile.TarInfo("hello"))
    data, target = layer.read_bytes(), house.daemon.base / "applied"
    write = ct.WriteContentRequest(action=ct.COMMIT, ref="layer", data=data, total=len(data), expected=digest_of(data))
    house.write(write)
    target.mkdir()
    request = df.ApplyRequest(
        diff=Descriptor(media_type="application/vnd.oci.image.layer.v1.tar", digest=digest_of(data), size=len(data)),
        mounts=[
            mount("bind", str(target), "", "rbind", "rw"),
            mount("format/bind", "{{ mount 0 }}", "", "rbind", "rw"),
        ],
    )
    assert house.ask(DIFF, "apply", request).applied.digest == digest_of(data)
    assert [path.name for path in target.iterdir()] == ["hello"]
    assert active(house.asker, house.namespace) == set()


def test_a_collection_takes_what_nothing_holds(house: House) -> None:
    house.lease("l")
    house.container("c")
    house.image("i", "sha256:" + "0" * 64, {"containerd.io/gc.ref.mount/x": "named"})
    labels = {
        "leased": {},
        "missing": {},
        "child": {"containerd.io/gc.bref.container": "c"},
        "image's": {"containerd.io/gc.bref.image": "i"},
        "misnamed": {"containerd.io/gc.bref.containerx": "c"},
        "named": {},
        "root": {"containerd.io/gc.root": "x"},
    }
    for name, said in labels.items():
        request = mt.ActivateRequest(name=name, mounts=[TMPFS], labels=said, temporary=True)
        house.ask(MOUNTS, "activate", request, lease={"leased": "l", "missing": "no lease"}.get(name, ""))
    house.collect()
    assert active(house.asker, house.namespace) == {"leased", "child", "image's", "named"}
    assert len(list((house.daemon.state / STATE / "t").iterdir())) == 4
    house.ask(LEASES, "delete", ls.DeleteRequest(id="l", sync=True), lease="")
    assert active(house.asker, house.namespace) == {"child", "image's", "named"}
    for name in active(house.asker, house.namespace):
        house.ask(MOUNTS, "deactivate", mt.DeactivateRequest(name=name), lease="")
