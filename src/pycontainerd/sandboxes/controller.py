"""What a plugin of the type sandbox.controller is: it runs sandboxes of one kind, in this process or in another.

Requests and answers are those of the wire contract, so that another process can be asked in the same words.
"""

from __future__ import annotations

from typing import Protocol

from pycontainerd.api.containerd.services.sandbox import v1_pb2 as sandbox_pb2


class Controller(Protocol):
    """Runs sandboxes in the namespaces that it is asked in. The field `sandboxer` of requests means nothing to it."""

    async def create(
        self, request: sandbox_pb2.ControllerCreateRequest, namespace: str
    ) -> sandbox_pb2.ControllerCreateResponse: ...

    async def start(
        self, request: sandbox_pb2.ControllerStartRequest, namespace: str
    ) -> sandbox_pb2.ControllerStartResponse: ...

    async def platform(
        self, request: sandbox_pb2.ControllerPlatformRequest, namespace: str
    ) -> sandbox_pb2.ControllerPlatformResponse: ...

    async def stop(
        self, request: sandbox_pb2.ControllerStopRequest, namespace: str
    ) -> sandbox_pb2.ControllerStopResponse: ...

    async def wait(
        self, request: sandbox_pb2.ControllerWaitRequest, namespace: str
    ) -> sandbox_pb2.ControllerWaitResponse: ...

    async def status(
        self, request: sandbox_pb2.ControllerStatusRequest, namespace: str
    ) -> sandbox_pb2.ControllerStatusResponse: ...

    async def shutdown(
        self, request: sandbox_pb2.ControllerShutdownRequest, namespace: str
    ) -> sandbox_pb2.ControllerShutdownResponse: ...

    async def metrics(
        self, request: sandbox_pb2.ControllerMetricsRequest, namespace: str
    ) -> sandbox_pb2.ControllerMetricsResponse: ...

    async def update(
        self, request: sandbox_pb2.ControllerUpdateRequest, namespace: str
    ) -> sandbox_pb2.ControllerUpdateResponse: ...
