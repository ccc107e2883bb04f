"""`containerd.services.sandbox.v1.Store` and, by the name of a sandbox's controller, `…Controller`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn, Protocol

from google.protobuf.message import Message

from pycontainerd.api.containerd import events_pb2
from pycontainerd.api.containerd.services.sandbox import v1_pb2 as sandbox_pb2
from pycontainerd.errors import Error, InvalidArgument, NotFound, Unimplemented, Unknown
from pycontainerd.metadata.joining import joined
from pycontainerd.quoting import quote
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service
from pycontainerd.sandboxes import codec
from pycontainerd.sandboxes.controller import Controller
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


class Publisher(Protocol):
    """Where events go."""

    def publish(self, namespace: str, topic: str, event: Message) -> None: ...


class ControllersService(Service):
    """Passes each call to the controller that its field `sandboxer` names, and tells what became of sandboxes.

    Where a controller serves tasks, which its answers say, is the daemon's own affair, as in the original.
    """

    contract = sandbox_pb2.DESCRIPTOR.services_by_name["Controller"]

    def __init__(self, controllers: Mapping[str, Controller], events: Publisher) -> None:
        self._controllers = controllers
        self._events = events

    async def create(
        self, request: sandbox_pb2.ControllerCreateRequest, call: Call
    ) -> sandbox_pb2.ControllerCreateResponse:
        await self._named(request.sandboxer).create(request, call.namespace)
        event = events_pb2.SandboxCreate(sandbox_id=request.sandbox_id)
        self._events.publish(call.namespace, "/sandboxes/create", event)
        return sandbox_pb2.ControllerCreateResponse(sandbox_id=request.sandbox_id)

    async def start(
        self, request: sandbox_pb2.ControllerStartRequest, call: Call
    ) -> sandbox_pb2.ControllerStartResponse:
        id_ = request.sandbox_id
        try:
            controller = self._named(request.sandboxer)
        except Error as error:
            raise error.within(f"failed to get sandbox controller for {quote(request.sandboxer)}") from None
        try:
            started = await controller.start(request, call.namespace)
        except Error as error:
            raise error.within(f"failed to start sandbox {quote(id_)}") from None
        self._events.publish(call.namespace, "/sandboxes/start", events_pb2.SandboxStart(sandbox_id=id_))
        return sandbox_pb2.ControllerStartResponse(
            sandbox_id=started.sandbox_id, pid=started.pid, created_at=started.created_at, labels=started.labels
        )

    async def platform(self, request: sandbox_pb2.ControllerPlatformRequest, call: Call) -> NoReturn:
        # Only the daemon itself asks controllers for it, as in the original.
        raise Unimplemented("method Platform not implemented", bare=True)

    async def stop(self, request: sandbox_pb2.ControllerStopRequest, call: Call) -> sandbox_pb2.ControllerStopResponse:
        return await self._named(request.sandboxer).stop(request, call.namespace)

    async def wait(self, request: sandbox_pb2.ControllerWaitRequest, call: Call) -> sandbox_pb2.ControllerWaitResponse:
        ended = await self._named(request.sandboxer).wait(request, call.namespace)
        ended.exited_at.SetInParent()
        event = events_pb2.SandboxExit(
            sandbox_id=request.sandbox_id, exit_status=ended.exit_status, exited_at=ended.exited_at
        )
        self._events.publish(call.namespace, "/sandboxes/exit", event)
        return ended

    async def status(
        self, request: sandbox_pb2.ControllerStatusRequest, call: Call
    ) -> sandbox_pb2.ControllerStatusResponse:
        status = await self._named(request.sandboxer).status(request, call.namespace)
        return sandbox_pb2.ControllerStatusResponse(
            sandbox_id=status.sandbox_id,
            pid=status.pid,
            state=status.state,
            info=status.info,
            created_at=status.created_at,
            exited_at=status.exited_at,
            extra=status.extra,
        )

    async def shutdown(
        self, request: sandbox_pb2.ControllerShutdownRequest, call: Call
    ) -> sandbox_pb2.ControllerShutdownResponse:
        return await self._named(request.sandboxer).shutdown(request, call.namespace)

    async def metrics(
        self, request: sandbox_pb2.ControllerMetricsRequest, call: Call
    ) -> sandbox_pb2.ControllerMetricsResponse:
        return await self._named(request.sandboxer).metrics(request, call.namespace)

    async def update(
        self, request: sandbox_pb2.ControllerUpdateRequest, call: Call
    ) -> sandbox_pb2.ControllerUpdateResponse:
        controller = self._named(request.sandboxer)
        if not request.HasField("sandbox"):
            raise Unknown("sandbox can not be nil")
        return await controller.update(request, call.namespace)

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
