"""The chains about containers."""

from __future__ import annotations

from itertools import product
from typing import Any, Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.timestamp_pb2 import Timestamp

from pycontainerd.api.containerd.services.containers import v1_pb2 as cs
from tests.integration.metadata.questions import (
    LONG,
    NOWHERE,
    SPEC,
    Chain,
    container,
    create_container,
    delete_container,
    get_container,
    list_containers,
    update_container,
)

LACKING: Final[dict[str, Any]] = {
    "labels": {"a": LONG},
    "extensions": {"": SPEC},
    "runtime": None,
    "snapshot_key": "k",
}

CONTAINER_CREATE: Chain = [
    create_container(container("")),
    create_container(container("a b")),
    create_container(container("a\nb")),
    create_container(container('a"b')),
    create_container(container("x" * 77)),
    create_container(container("é" * 30)),
    create_container(container("-a")),
    create_container(container("a-")),
    create_container(container("a..b")),
    create_container(container("a.b_c-d")),
    *[
        create_container(container("bad", **dict(zip(LACKING, parts, strict=True))))
        for parts in product(*[(value, {} if isinstance(value, dict) else "") for value in LACKING.values()])
        if parts[2] != ""
    ],
    create_container(container("norun", runtime=cs.Container.Runtime())),
    create_container(container("nospec", spec=None)),
    create_container(container("emptyspec", spec=AnyMessage())),
    create_container(container("snapshotter", snapshotter="s")),
    create_container(container("nolabel", labels={"": "x"})),
    create_container(container("emptylabel", labels={"": ""})),
    create_container(container("options", runtime=cs.Container.Runtime(name="x", options=SPEC))),
    create_container(container("nooptions", runtime=cs.Container.Runtime(name="x", options=AnyMessage()))),
    create_container(
        container(
            "full",
            labels={"a": "", "b": "c"},
            extensions={"e": SPEC, "f": AnyMessage()},
            image="img",
            snapshotter="ovl",
            snapshot_key="kk",
            sandbox="sb",
            created_at=Timestamp(seconds=4),
        )
    ),
    create_container(container("full")),
    *[get_container(id_) for id_ in ("nospec", "emptyspec", "options", "nooptions", "full", "", "nope", "a b", "a\nb")],
    get_container("x", namespace=NOWHERE),
    create_container(container(), namespace=None),
    create_container(container(""), namespace=None),
    get_container("x", namespace=None),
    list_containers(namespace=None),
    list_containers(namespace=None, method="list_stream"),
    list_containers(namespace="a b"),
    list_containers(namespace=NOWHERE),
    list_containers(),
    list_containers(method="list_stream"),
    *[
        list_containers(filter_, method=method)
        for method in ("list", "list_stream")
        for filter_ in (
            "id==full",
            "id.x==full",
            "runtime",
            "runtime.name==x",
            "runtime.foo",
            "image",
            "image!=img",
            "=",
        )
    ],
    list_containers("labels.b~=c", "snapshotter==s", "spec"),
    delete_container(""),
    delete_container("nope"),
    delete_container("a b"),
    delete_container("full"),
    delete_container("full"),
    delete_container("x", namespace=NOWHERE),
    delete_container("x", namespace=None),
]

CONTAINER_UPDATE: Chain = [
    create_container(
        container(
            labels={"b": "c"},
            extensions={"e": SPEC, "f": AnyMessage()},
            image="img",
            snapshotter="ovl",
            snapshot_key="kk",
            sandbox="sb",
        )
    ),
    create_container(container("nospec", spec=None)),
    update_container(container("")),
    update_container(container(""), namespace=None),
    update_container(container(), namespace=None),
    update_container(container("nope")),
    update_container(container("nope"), "foo"),
    update_container(container("a b"), "foo"),
    update_container(container(), namespace=NOWHERE),
    update_container(container(), "foo", namespace=NOWHERE),
    *[
        update_container(container(), path)
        for path in (
            "snapshotter",
            "runtime",
            "runtime.options",
            "id",
            "sandbox",
            "foo",
            "created_at",
            "snapshot_key",
            "",
            "labels.",
            "extensions.",
            "Labels",
            "spec.value",
        )
    ],
    update_container(container(labels={"b": "", "z": "1"}), "labels.b", "labels.z", "labels.nn"),
    update_container(container(labels={"q": "1", "e": ""}), "labels"),
    update_container(container(labels={"": "v"}), "labels"),
    update_container(container(labels={"": "v"}), "labels."),
    update_container(container(extensions={"g": SPEC}), "extensions"),
    get_container("c"),
    update_container(container(extensions={"e": AnyMessage(type_url="new")}), "extensions.e", "extensions.nope"),
    get_container("c"),
    update_container(container(extensions={}), "extensions"),
    get_container("c"),
    update_container(
        container(spec=AnyMessage(type_url="s2"), image="im2", snapshot_key="kk2"), "spec", "image", "snapshotkey"
    ),
    update_container(container(spec=None), "spec"),
    get_container("c"),
    update_container(container(spec=None), "image"),
    update_container(container("nospec", spec=None), "image"),
    update_container(container("nospec", spec=None), "spec"),
    update_container(container("nospec"), "spec"),
    update_container(container("nospec", spec=None), "image"),
    update_container(container(extensions={"": SPEC}), "extensions"),
    update_container(container(labels={"a": LONG}), "labels"),
    update_container(container(snapshot_key=""), "snapshotkey"),
    update_container(container(labels={"w": "1"}), "labels.w", "foo"),
    update_container(container()),
    update_container(container(snapshotter="ovl", runtime=cs.Container.Runtime(name="zz"))),
    update_container(container(snapshotter="ovl", runtime=None)),
    update_container(
        container(
            snapshotter="ovl",
            runtime=cs.Container.Runtime(name="rt", options=SPEC),
            sandbox="other",
            image="i9",
            labels={"l": "1"},
            snapshot_key="kk3",
            created_at=Timestamp(seconds=3),
        )
    ),
    get_container("c"),
    update_container(container(snapshotter="ovl", spec=None)),
    get_container("c"),
]
