"""A sandbox controller in another process, reached over the same service that we offer.

The other side knows the controller by the name that the proxy has here.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import Message

from pycontainerd.api.containerd.services.sandbox import v1_pb2 as pb
from pycontainerd.proxies.remote import Remote
from pycontainerd.rpc.service import methods_of

_METHODS: Final = methods_of(pb.DESCRIPTOR.services_by_name["Controller"])


class ProxySandboxController:
    """A plugin of the type sandbox.controller whose work another process does. Raises what that answers."""

    def __init__(self, remote: Remote, name: str) -> None:
        self._remote = remote
        self._name = name

    async def create(self, request: pb.ControllerCreateRequest, namespace: str) -> pb.ControllerCreateResponse:
        reply: pb.ControllerCreateResponse = await self._asked("create", request, namespace)
        return reply

    async def start(self, request: pb.ControllerStartRequest, namespace: str) -> pb.ControllerStartResponse:
        reply: pb.ControllerStartResponse = await self._asked("start", request, namespace)
        return reply

    async def platform(self, request: pb.ControllerPlatformRequest, namespace: str) -> pb.ControllerPlatformResponse:
        reply: pb.ControllerPlatformResponse = await self._asked("platform", request, namespace)
        return reply

    async def stop(self, request: pb.ControllerStopRequest, namespace: str) -> pb.ControllerStopResponse:
        reply: pb.ControllerStopResponse = await self._asked("stop", request, namespace)
        return reply

    async def wait(self, request: pb.ControllerWaitRequest, namespace: str) -> pb.ControllerWaitResponse:
        reply: pb.ControllerWaitResponse = await self._asked("wait", request, namespace)
        return reply

    async def status(self, request: pb.ControllerStatusRequest, namespace: str) -> pb.ControllerStatusResponse:
        reply: pb.ControllerStatusResponse = await self._asked("status", request, namespace)
        return reply

    async def shutdown(self, request: pb.ControllerShutdownRequest, namespace: str) -> pb.ControllerShutdownResponse:
        reply: pb.ControllerShutdownResponse = await self._asked("shutdown", request, namespace)
        return reply

    async def metrics(self, request: pb.ControllerMetricsRequest, namespace: str) -> pb.ControllerMetricsResponse:
        reply: pb.ControllerMetricsResponse = await self._asked("metrics", request, namespace)
        return reply

    async def update(self, request: pb.ControllerUpdateRequest, namespace: str) -> pb.ControllerUpdateResponse:
        reply: pb.ControllerUpdateResponse = await self._asked("update", request, namespace)
        return reply

    async def _asked(self, name: str, request: Any, namespace: str) -> Any:
        method = _METHODS[name]
        forwarded: Message = method.request()
        forwarded.CopyFrom(request)
        forwarded.sandboxer = self._name  # type: ignore[attr-defined]
        return await self._remote.unary(method, forwarded, namespace)
