"""The sandbox API of a shim, `containerd.runtime.sandbox.v1.Sandbox` (runtime-shim.md §10), as the daemon calls it.

A shim that serves it may serve a whole pod: the sandbox first, then the tasks that join it (`joining`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.runtime.sandbox import v1_pb2 as sandbox_pb2
from pycontainerd.rpc.service import Method, methods_of
from pycontainerd.runtime.bootstrap import Bootstrap
from pycontainerd.runtime.task_api import Caller, namespace_metadata

_METHODS: Final[Mapping[str, Method]] = methods_of(sandbox_pb2.DESCRIPTOR.services_by_name["Sandbox"])


class SandboxApi:
    """Calls about one sandbox. Errors are those that its shim answers, or that its connection ends with."""

    __slots__ = ("_client", "_id", "_metadata")

    def __init__(self, client: Caller, bootstrap: Bootstrap, namespace: str, id_: str) -> None:
        self._client = client
        self._metadata = namespace_metadata(bootstrap, namespace)
        self._id = id_

    async def create(
        self,
        bundle: str,
        *,
        rootfs: Sequence[types_pb2.Mount],
        options: AnyMessage | None,
        netns_path: str,
        annotations: Mapping[str, str],
    ) -> None:
        request = sandbox_pb2.CreateSandboxRequest(
            sandbox_id=self._id,
            bundle_path=bundle,
            rootfs=rootfs,
            options=options,
            netns_path=netns_path,
            annotations=annotations,
        )
        await self._call("create_sandbox", request)

    async def start(self) -> sandbox_pb2.StartSandboxResponse:
        response: sandbox_pb2.StartSandboxResponse = await self._call(
            "start_sandbox", sandbox_pb2.StartSandboxRequest(sandbox_id=self._id)
        )
        return response

    async def platform(self) -> sandbox_pb2.PlatformResponse:
        response: sandbox_pb2.PlatformResponse = await self._call(
            "platform", sandbox_pb2.PlatformRequest(sandbox_id=self._id)
        )
        return response

    async def stop(self, timeout_s: int) -> None:
        """Stops what runs in the sandbox; the shim takes no longer than *timeout_s* before it kills."""
        request = sandbox_pb2.StopSandboxRequest(sandbox_id=self._id, timeout_secs=timeout_s)
        await self._call("stop_sandbox", request)

    async def wait(self) -> sandbox_pb2.WaitSandboxResponse:
        response: sandbox_pb2.WaitSandboxResponse = await self._call(
            "wait_sandbox", sandbox_pb2.WaitSandboxRequest(sandbox_id=self._id)
        )
        return response

    async def status(self, *, verbose: bool) -> sandbox_pb2.SandboxStatusResponse:
        request = sandbox_pb2.SandboxStatusRequest(sandbox_id=self._id, verbose=verbose)
        response: sandbox_pb2.SandboxStatusResponse = await self._call("sandbox_status", request)
        return response

    async def metrics(self) -> sandbox_pb2.SandboxMetricsResponse:
        response: sandbox_pb2.SandboxMetricsResponse = await self._call(
            "sandbox_metrics", sandbox_pb2.SandboxMetricsRequest(sandbox_id=self._id)
        )
        return response

    async def shutdown(self) -> None:
        """Ends the sandbox, and with it the shim."""
        await self._call("shutdown_sandbox", sandbox_pb2.ShutdownSandboxRequest(sandbox_id=self._id))

    async def _call(self, name: str, request: Message) -> Any:
        return await self._client.unary(_METHODS[name], request, metadata=self._metadata)
