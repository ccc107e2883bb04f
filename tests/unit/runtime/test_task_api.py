"""Calls of shims of either version."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf.message import Message

from pycontainerd.api.containerd.task import v3_pb2 as task_pb2
from pycontainerd.errors import Unimplemented
from pycontainerd.rpc.call import Metadata
from pycontainerd.rpc.service import Method
from pycontainerd.runtime.bootstrap import Bootstrap
from pycontainerd.runtime.model import RootfsMount, Status, Stdio
from pycontainerd.runtime.task_api import TaskApi


class Shim:
    """Answers calls as a shim of *versions* would, and notes them."""

    def __init__(self, *versions: int, answer: Message | None = None) -> None:
        self._services = tuple(f"/containerd.task.v{version}.Task/" for version in versions)
        self._answer = answer
        self.calls: list[tuple[str, Any, Metadata]] = []

    async def unary(
        self, method: Method, request: Message, *, metadata: Metadata = (), timeout_s: float | None = None
    ) -> Any:
        self.calls.append((method.path, request, metadata))
        if not method.path.startswith(self._services):
            raise Unimplemented(f"service {method.path}")
        return self._answer or method.response()


def api(shim: Shim, version: int, protocol: str = "ttrpc") -> TaskApi:
    return TaskApi(shim, Bootstrap(version, "unix:///x", protocol), "ns")


@pytest.mark.parametrize("version", [2, 3])
def test_a_shim_is_called_by_its_version(version: int) -> None:
    shim = Shim(version)
    asyncio.run(api(shim, version).start("c", ""))
    assert [path for path, _, _ in shim.calls] == [f"/containerd.task.v{version}.Task/Start"]


def test_a_shim_that_claims_version_3_but_knows_2_is_called_by_2_from_then_on() -> None:
    shim = Shim(2)
    task = api(shim, 3)

    async def story() -> None:
        await task.connect("c")
        await task.start("c", "")

    asyncio.run(story())
    assert [path.split("/")[1] for path, _, _ in shim.calls] == [
        "containerd.task.v3.Task",
        "containerd.task.v2.Task",
        "containerd.task.v2.Task",
    ]
    assert task.version == 2


def test_a_shim_that_knows_neither_is_not_asked_for_ever() -> None:
    shim = Shim()
    with pytest.raises(Unimplemented):
        asyncio.run(api(shim, 3).connect("c"))
    assert len(shim.calls) == 2


@pytest.mark.parametrize(
    ("protocol", "key"), [("ttrpc", "containerd-namespace-ttrpc"), ("grpc", "containerd-namespace")]
)
def test_the_namespace_goes_along(protocol: str, key: str) -> None:
    shim = Shim(3)
    asyncio.run(api(shim, 3, protocol).start("c", ""))
    assert shim.calls[0][2] == ((key, "ns"),)


def test_a_task_is_created_as_it_was_asked_for() -> None:
    shim = Shim(3, answer=task_pb2.CreateTaskResponse(pid=7))
    mount = RootfsMount("overlay", "overlay", "", ("lowerdir=/a",))
    stdio = Stdio("/in", "/out", "", terminal=True)
    created = api(shim, 3).create("c", "/bundle", rootfs=[mount], stdio=stdio, checkpoint="", options=None)
    assert asyncio.run(created) == 7
    request = shim.calls[0][1]
    assert (request.id, request.bundle, request.stdin, request.terminal) == ("c", "/bundle", "/in", True)
    assert request.rootfs[0].options == ["lowerdir=/a"]
    assert not request.HasField("options")


def test_a_state_without_a_time_has_that_of_1970() -> None:
    shim = Shim(3, answer=task_pb2.StateResponse(id="c", pid=7, status="RUNNING"))
    state = asyncio.run(api(shim, 3).state("c", ""))
    assert (state.status, state.exited_at_ns) == (Status.RUNNING, 0)


def test_a_status_that_nobody_knows_is_unknown() -> None:
    answer = task_pb2.StateResponse(id="c")
    answer.MergeFromString(b"\x20\x63")  # status = 99
    assert asyncio.run(api(Shim(3, answer=answer), 3).state("c", "")).status == Status.UNKNOWN
