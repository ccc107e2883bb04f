"""`containerd.services.sandbox.v1.Store` and, by the name of a sandbox's controller, `…Controller`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pycontainerd.api.containerd.services.sandbox import v1_pb2 as sandbox_pb2
from pycontainerd.errors import Error, InvalidArgument, NotFound, Unimplemented
from pycontainerd.metadata.joining import joined
from pycontainerd.quoting import quote
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service
from pycontainerd.sandboxes import codec
from pycontainerd.sandboxes.model import Sandbox
from pycontainerd.sandboxes.store import SandboxStore


class SandboxesService(Service):
    """The sandboxes of the caller's namespace. Replies are the stored bytes."""

    contract = sandbox_pb2.DESCRIPTOR.services_by_name["Store"]

    def __init__(self, sandboxes: SandboxStore) -> None:
        self._sandboxes = sandboxes

    async def get(self, request: sandbox_pb2.StoreGetRequest, call: Call) -> bytes:
        return joined([self._sandboxes.get_wire(call.namespace, request.sandbox_id)])

    async def list(self, request: sandbox_pb2.StoreListRequest, call: Call) -> bytes:
        return joined(await self._sandboxes.list_wire(call.namespace, request.filters))

    async def create(self, request: sandbox_pb2.StoreCreateRequest, call: Call) -> bytes:
        return joined([(await self._sandboxes.create(call.namespace, _sent(request))).wire])

    async def update(self, request: sandbox_pb2.StoreUpdateRequest, call: Call) -> bytes:
        return joined([(await self._sandboxes.update(call.namespace, _sent(request), request.fields)).wire])

    async def delete(self, request: sandbox_pb2.StoreDeleteRequest, call: Call) -> sandbox_pb2.StoreDeleteResponse:
        await self._sandboxes.delete(call.namespace, request.sandbox_id)
        return sandbox_pb2.StoreDeleteResponse()


class Controller(Protocol):
    """What a plugin of the type sandbox.controller is: it answers the calls of the contract, and tells its events."""

    async def create(self, request: sandbox_pb2.ControllerCreateRequest, call: Call) -> Any: ...

    async def start(self, request: sandbox_pb2.ControllerStartRequest, call: Call) -> Any: ...

    async def stop(self, request: sandbox_pb2.ControllerStopRequest, call: Call) -> Any: ...

    async def wait(self, request: sandbox_pb2.ControllerWaitRequest, call: Call) -> Any: ...

    async def status(self, request: sandbox_pb2.ControllerStatusRequest, call: Call) -> Any: ...

    async def shutdown(self, request: sandbox_pb2.ControllerShutdownRequest, call: Call) -> Any: ...

    async def metrics(self, request: sandbox_pb2.ControllerMetricsRequest, call: Call) -> Any: ...

    async def update(self, request: sandbox_pb2.ControllerUpdateRequest, call: Call) -> Any: ...


class ControllersService(Service):
    """Passes each call to the controller that its field `sandboxer` names."""

    contract = sandbox_pb2.DESCRIPTOR.services_by_name["Controller"]

    def __init__(self, controllers: Mapping[str, Controller]) -> None:
        self._controllers = controllers

    async def create(self, request: sandbox_pb2.ControllerCreateRequest, call: Call) -> Any:
        return await self._named(request.sandboxer).create(request, call)

    async def start(self, request: sandbox_pb2.ControllerStartRequest, call: Call) -> Any:
        try:
            controller = self._named(request.sandboxer)
        except Error as error:
            raise error.within(f"failed to get sandbox controller for {quote(request.sandboxer)}") from None
        return await controller.start(request, call)

    async def platform(self, request: sandbox_pb2.ControllerPlatformRequest, call: Call) -> Any:
        # Only the daemon itself asks controllers for it, as in the original.
        raise Unimplemented("method Platform not implemented", bare=True)

    async def stop(self, request: sandbox_pb2.ControllerStopRequest, call: Call) -> Any:
        return await self._named(request.sandboxer).stop(request, call)

    async def wait(self, request: sandbox_pb2.ControllerWaitRequest, call: Call) -> Any:
        return await self._named(request.sandboxer).wait(request, call)

    async def status(self, request: sandbox_pb2.ControllerStatusRequest, call: Call) -> Any:
        return await self._named(request.sandboxer).status(request, call)

    async def shutdown(self, request: sandbox_pb2.ControllerShutdownRequest, call: Call) -> Any:
        return await self._named(request.sandboxer).shutdown(request, call)

    async def metrics(self, request: sandbox_pb2.ControllerMetricsRequest, call: Call) -> Any:
        return await self._named(request.sandboxer).metrics(request, call)

    async def update(self, request: sandbox_pb2.ControllerUpdateRequest, call: Call) -> Any:
        return await self._named(request.sandboxer).update(request, call)

    def _named(self, sandboxer: str) -> Controller:
        if not sandboxer:
            raise InvalidArgument("invalid argument: sandbox controller name can not be empty", bare=True)
        controller = self._controllers.get(sandboxer)
        if controller is None:
            raise NotFound(f"not found: failed to get sandbox controller by {sandboxer}", bare=True)
        return controller


def _sent(request: sandbox_pb2.StoreCreateRequest | sandbox_pb2.StoreUpdateRequest) -> Sandbox:
    if not request.HasField("sandbox"):
        raise InvalidArgument("the request has no sandbox")
    if not request.sandbox.HasField("runtime"):
        raise InvalidArgument("the sandbox of the request has no runtime")
    return codec.from_message(request.sandbox)
