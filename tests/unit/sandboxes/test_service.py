"""Finding the controller of a sandbox, and what the service says and keeps to itself of its answers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf.message import Message

from pycontainerd.api.containerd import events_pb2
from pycontainerd.api.containerd.services.sandbox import v1_pb2 as sandbox_pb2
from pycontainerd.errors import InvalidArgument, NotFound, Unimplemented, Unknown
from pycontainerd.rpc.call import NAMESPACE_HEADER, Call
from pycontainerd.sandboxes.service import ControllersService

CALL = Call("/x", metadata=((NAMESPACE_HEADER, "ns"),))
REQUESTS: dict[str, Any] = {
    "create": sandbox_pb2.ControllerCreateRequest,
    "start": sandbox_pb2.ControllerStartRequest,
    "stop": sandbox_pb2.ControllerStopRequest,
    "wait": sandbox_pb2.ControllerWaitRequest,
    "status": sandbox_pb2.ControllerStatusRequest,
    "shutdown": sandbox_pb2.ControllerShutdownRequest,
    "metrics": sandbox_pb2.ControllerMetricsRequest,
    "update": sandbox_pb2.ControllerUpdateRequest,
}


class Recording:
    """A controller that notes its calls, and answers all that its answers have room for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str]] = []

    def __getattr__(self, method: str) -> Any:
        async def answer(request: Any, namespace: str) -> Message:
            self.asked.append((method, request.sandbox_id, namespace))
            response = getattr(sandbox_pb2, f"Controller{method.capitalize()}Response")()
            fields = response.DESCRIPTOR.fields_by_name
            if "address" in fields:
                response.address, response.version, response.pid = "unix:///x", 3, 7
            if "exit_status" in fields:
                response.exit_status = 5
            return response  # type: ignore[no-any-return]

        return answer


class Events:
    def __init__(self) -> None:
        self.told: list[tuple[str, str, Message]] = []

    def publish(self, namespace: str, topic: str, event: Message) -> None:
        self.told.append((namespace, topic, event))


@pytest.mark.parametrize("method", REQUESTS)
def test_the_controller_that_is_named_is_asked(method: str) -> None:
    named, other = Recording(), Recording()
    service = ControllersService({"shim": named, "other": other}, Events())

    def ask(sandboxer: str) -> Message:
        request = REQUESTS[method](sandbox_id="s", sandboxer=sandboxer)
        if method == "update":
            request.sandbox.sandbox_id = "s"
        answer: Message = asyncio.run(getattr(service, method)(request, CALL))
        return answer

    ask("shim")
    assert named.asked == [(method, "s", "ns")]
    assert other.asked == []
    with pytest.raises(NotFound, match="failed to get sandbox controller by nobody"):
        ask("nobody")
    with pytest.raises(InvalidArgument, match="name can not be empty"):
        ask("")


@pytest.mark.parametrize("method", ["start", "status"])
def test_where_a_sandbox_serves_tasks_is_not_told(method: str) -> None:
    service = ControllersService({"shim": Recording()}, Events())
    answer: Any = asyncio.run(getattr(service, method)(REQUESTS[method](sandboxer="shim"), CALL))
    assert (answer.pid, answer.HasField("created_at")) == (7, True)
    if method == "start":
        assert (answer.address, answer.version) == ("", 0)


def test_creation_start_and_end_are_told() -> None:
    events = Events()
    service = ControllersService({"shim": Recording()}, events)
    for method in ("create", "start", "wait", "stop", "shutdown"):
        asyncio.run(getattr(service, method)(REQUESTS[method](sandbox_id="s", sandboxer="shim"), CALL))
    ended = events_pb2.SandboxExit(sandbox_id="s", exit_status=5)
    ended.exited_at.SetInParent()
    assert events.told == [
        ("ns", "/sandboxes/create", events_pb2.SandboxCreate(sandbox_id="s")),
        ("ns", "/sandboxes/start", events_pb2.SandboxStart(sandbox_id="s")),
        ("ns", "/sandboxes/exit", ended),
    ]


def test_an_update_without_a_sandbox_and_a_platform_are_refused() -> None:
    service = ControllersService({"shim": Recording()}, Events())
    with pytest.raises(Unknown, match="sandbox can not be nil"):
        asyncio.run(service.update(sandbox_pb2.ControllerUpdateRequest(sandboxer="shim"), CALL))
    with pytest.raises(Unimplemented, match="method Platform not implemented"):
        asyncio.run(service.platform(sandbox_pb2.ControllerPlatformRequest(sandboxer="shim"), CALL))
