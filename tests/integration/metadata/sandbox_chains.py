"""The chains about sandboxes."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.timestamp_pb2 import Timestamp

from pycontainerd.api.containerd.services.sandbox import v1_pb2 as sb
from pycontainerd.api.containerd.types_pb2 import Sandbox
from tests.integration.metadata.questions import LONG, NOWHERE, SPEC, Chain, Question

STORE: Final = sb.DESCRIPTOR.services_by_name["Store"]
CONTROLLER: Final = sb.DESCRIPTOR.services_by_name["Controller"]


def sandbox(id_: str = "s", **fields: Any) -> Sandbox:
    known: dict[str, Any] = {"runtime": Sandbox.Runtime(name="rt"), "spec": SPEC, **fields}
    return Sandbox(sandbox_id=id_, **{key: value for key, value in known.items() if value is not None})


def create(sent: Sandbox, **where: Any) -> Question:
    return Question(STORE, "create", sb.StoreCreateRequest(sandbox=sent), **where)


def update(sent: Sandbox, *fields: str, **where: Any) -> Question:
    return Question(STORE, "update", sb.StoreUpdateRequest(sandbox=sent, fields=fields), **where)


def get(id_: str, **where: Any) -> Question:
    return Question(STORE, "get", sb.StoreGetRequest(sandbox_id=id_), **where)


def list_(*filters: str, **where: Any) -> Question:
    return Question(STORE, "list", sb.StoreListRequest(filters=filters), **where)


def delete(id_: str, **where: Any) -> Question:
    return Question(STORE, "delete", sb.StoreDeleteRequest(sandbox_id=id_), **where)


SANDBOX_CREATE: Chain = [
    get("s"),
    list_(),
    delete("s"),
    update(sandbox()),
    *[create(sandbox(id_)) for id_ in ("", "a b", 'a"b', "x" * 77, "é", "-a", "a-", "a..b", "a.b_c-d")],
    create(sandbox()),
    create(sandbox()),
    create(sandbox(), namespace=None),
    create(sandbox(""), namespace=None),
    create(sandbox("noname", runtime=Sandbox.Runtime())),
    create(sandbox("nospec", spec=None)),
    create(sandbox("emptyspec", spec=AnyMessage())),
    create(sandbox("options", runtime=Sandbox.Runtime(name="x", options=SPEC))),
    create(sandbox("nooptions", runtime=Sandbox.Runtime(name="x", options=AnyMessage()))),
    create(sandbox("long", labels={"a": LONG})),
    create(sandbox("nokey", labels={"": "x"})),
    create(sandbox("emptykey", labels={"": ""})),
    create(sandbox("empty", labels={"a": "", "b": "c"})),
    create(sandbox("noext", extensions={"": SPEC})),
    create(sandbox("ext", extensions={"e": SPEC, "f": AnyMessage()})),
    create(
        sandbox(
            "full",
            labels={"a": "", "b": "c"},
            extensions={"e": SPEC},
            sandboxer="shim",
            created_at=Timestamp(seconds=4),
            updated_at=Timestamp(seconds=5),
        )
    ),
    *[
        get(id_)
        for id_ in (
            *("s", "noname", "nospec", "emptyspec", "options", "nooptions", "long", "nokey", "emptykey", "empty"),
            *("noext", "ext", "full", "", "nope", "a b"),
        )
    ],
    list_(),
    *[
        list_(filter_)
        for filter_ in (
            *("id==full", "id~=e", "id.x==full", "labels.b", "labels.b==c", "labels.b!=c", "labels", "sandboxer"),
            *("sandboxer==shim", "runtime.name==x", "", "="),
        )
    ],
    list_("id==s", "labels.b"),
    list_(namespace=None),
    list_(namespace=NOWHERE),
    get("s", namespace=None),
    get("s", namespace=NOWHERE),
    delete("s", namespace=NOWHERE),
    delete("s", namespace=None),
    delete("nope"),
    delete(""),
    delete("a b"),
    delete("s"),
    delete("s"),
    get("s"),
]

SANDBOX_UPDATE: Chain = [
    create(
        sandbox(
            labels={"b": "c"},
            extensions={"e": SPEC, "f": AnyMessage()},
            runtime=Sandbox.Runtime(name="rt", options=SPEC),
            sandboxer="one",
        )
    ),
    create(sandbox("nospec", spec=None)),
    *[update(sandbox(id_)) for id_ in ("", "nope", "a b")],
    update(sandbox("nope"), "foo"),
    update(sandbox(), namespace=None),
    update(sandbox(), namespace=NOWHERE),
    *[
        update(sandbox(), path)
        for path in ("sandboxer", "runtime.name", "id", "sandbox_id", "foo", "created_at", "", "Labels", "spec.value")
    ],
    update(sandbox(labels={"x": "1"}), "labels."),
    update(sandbox(labels={"": "1"}), "labels."),
    update(sandbox(labels={"": "1"}), "labels"),
    get("s"),
    update(sandbox(labels={"b": "", "z": "1"}), "labels.b", "labels.z", "labels.nn"),
    get("s"),
    update(sandbox(labels={"q": "1", "e": ""}), "labels"),
    get("s"),
    update(sandbox(labels={"w": "1"}), "labels.w", "foo"),
    update(sandbox(labels={"w": LONG}), "labels.w"),
    update(sandbox(extensions={"g": SPEC}), "extensions"),
    get("s"),
    update(sandbox(extensions={"e": AnyMessage(type_url="new")}), "extensions.e"),
    update(sandbox(extensions={}), "extensions"),
    update(sandbox(extensions={"": SPEC}), "extensions"),
    get("s"),
    update(sandbox(spec=AnyMessage(type_url="s2")), "spec"),
    update(sandbox(spec=None), "spec"),
    get("s"),
    update(sandbox(spec=None), "runtime"),
    get("s"),
    update(sandbox(runtime=Sandbox.Runtime(name="zz")), "runtime"),
    get("s"),
    update(sandbox(runtime=Sandbox.Runtime(name="other", options=SPEC))),
    update(sandbox(runtime=Sandbox.Runtime(name="zz"), sandboxer="two", spec=None, labels={"l": "1"})),
    get("s"),
    update(sandbox("nospec", spec=None)),
    update(sandbox("nospec")),
    get("nospec"),
    update(sandbox(runtime=Sandbox.Runtime(), labels={"k": "1"}), "labels.k"),
]


def _controller_requests(sandboxer: str) -> list[Question]:
    named: dict[str, Any] = {"sandbox_id": "s", "sandboxer": sandboxer}
    requests = {
        "create": sb.ControllerCreateRequest(**named),
        "start": sb.ControllerStartRequest(**named),
        "platform": sb.ControllerPlatformRequest(**named),
        "stop": sb.ControllerStopRequest(**named),
        "wait": sb.ControllerWaitRequest(**named),
        "status": sb.ControllerStatusRequest(**named),
        "shutdown": sb.ControllerShutdownRequest(**named),
        "metrics": sb.ControllerMetricsRequest(**named),
        "update": sb.ControllerUpdateRequest(**named, sandbox=sandbox()),
    }
    return [Question(CONTROLLER, method, request) for method, request in requests.items()]


CONTROLLERS: Chain = [
    *_controller_requests(""),
    *_controller_requests("nobody"),
    Question(CONTROLLER, "stop", sb.ControllerStopRequest(sandboxer="nobody"), namespace=None),
]
