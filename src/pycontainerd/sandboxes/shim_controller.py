"""The controller `shim`: each sandbox is a shim that serves the sandbox API (runtime-shim.md §10).

    <state>/<namespace>/<id>/    the bundle of the sandbox's shim, as those of tasks; 0700 above the namespaces
    <root>/<namespace>/<id>/     its place for lasting work

The shims are those of the daemon's one manager, so that no task and no sandbox of a namespace have the same id, and
the tasks of a sandbox find its shim. What the shim refuses is told with the words of the original around it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Final

from pycontainerd.api.containerd.services.sandbox import v1_pb2 as sandbox_pb2
from pycontainerd.errors import AlreadyExists, Error, InvalidArgument, NotFound, Unavailable, Unknown
from pycontainerd.log import fields
from pycontainerd.metadata.times import to_timestamp
from pycontainerd.quoting import quote
from pycontainerd.rpc.call import check_identifier
from pycontainerd.rpc.status import described
from pycontainerd.rpc.ttrpc.link import ConnectionClosed
from pycontainerd.runtime.bundle import Bundle
from pycontainerd.runtime.manager import ShimManager
from pycontainerd.runtime.model import YEAR_ONE_NS, Exit, Payload
from pycontainerd.runtime.sandbox_api import SandboxApi
from pycontainerd.runtime.shim import Shim
from pycontainerd.runtime.spec import SpecView, view

_LOG: Final = logging.getLogger(__name__)


class ShimController:
    """Runs sandboxes in shims of their own; *state* and *root* are where their bundles and work directories lie."""

    def __init__(self, manager: ShimManager, state: str, root: str, now_ns: Callable[[], int]) -> None:
        self._manager = manager
        self._state = state
        self._root = root
        self._now_ns = now_ns

    async def create(
        self, request: sandbox_pb2.ControllerCreateRequest, namespace: str
    ) -> sandbox_pb2.ControllerCreateResponse:
        """Starts a shim, and lets it make the sandbox. If the caller is cancelled, both are taken away again.

        Raises AlreadyExists, InvalidArgument, what the shim says.
        """
        id_ = request.sandbox.sandbox_id if request.HasField("sandbox") else request.sandbox_id
        await self._manager.finish(
            self._create(namespace, id_, request), f"create sandbox {id_}", unwanted=self._take_away
        )
        return sandbox_pb2.ControllerCreateResponse(sandbox_id=id_)

    async def _create(self, namespace: str, id_: str, request: sandbox_pb2.ControllerCreateRequest) -> Shim:
        shim = await self._new_shim(namespace, id_, request)
        try:
            await _api(shim).create(
                shim.bundle.path,
                rootfs=request.rootfs,
                options=request.options if request.HasField("options") else None,
                netns_path=request.netns_path,
                annotations=request.annotations,
            )
        except BaseException as error:
            await self._manager.undo(self._take_away(shim), f"take back sandbox {id_}")
            if isinstance(error, Error):
                raise error.within(f"failed to create sandbox {id_}") from None
            raise
        return shim

    async def _new_shim(self, namespace: str, id_: str, request: sandbox_pb2.ControllerCreateRequest) -> Shim:
        """A shim for the sandbox, which the manager knows."""
        shims = self._manager.shims
        if shims.is_taken(namespace, id_):
            raise AlreadyExists(f"sandbox {id_} already running")
        try:
            check_identifier(id_)
        except InvalidArgument as error:
            raise error.within(f"invalid task id {id_}") from None
        with shims.reserved(namespace, id_):
            try:
                shim = await self._started(namespace, id_, request)
            except Error as error:
                raise error.within(f"failed to start new shim for sandbox {id_}") from None
            self._manager.keep(shim)
            return shim

    async def _started(self, namespace: str, id_: str, request: sandbox_pb2.ControllerCreateRequest) -> Shim:
        runtime, spec = request.sandbox.runtime, request.sandbox.spec.value
        path, work = (os.path.join(top, namespace, id_) for top in (self._state, self._root))
        try:
            binary = self._manager.discovery.resolve(runtime.name)
        except Error as error:
            raise error.within("failed to resolve runtime path") from None
        options = Payload(runtime.options.type_url, runtime.options.value) if runtime.HasField("options") else None
        seen = view(spec) if spec else SpecView()
        return await self._manager.start(Bundle(namespace, id_, path, work), binary, spec, seen, options)

    async def start(
        self, request: sandbox_pb2.ControllerStartRequest, namespace: str
    ) -> sandbox_pb2.ControllerStartResponse:
        """Starts the sandbox. One that can't be started is taken away."""
        id_ = request.sandbox_id
        shim = self._manager.shims.find(namespace, id_)
        if shim is None:
            raise Unknown(f"unable to find sandbox {quote(id_)}")
        try:
            started = await _api(shim).start()
        except Error as error:
            await self._manager.undo(self._take_away(shim), f"take back sandbox {id_}")
            raise error.within(f"failed to start sandbox {id_}") from None
        return sandbox_pb2.ControllerStartResponse(
            sandbox_id=id_,
            pid=started.pid,
            created_at=started.created_at,
            address=shim.bootstrap.address,
            version=shim.bootstrap.version,
            spec=started.spec if started.HasField("spec") else None,
        )

    async def platform(
        self, request: sandbox_pb2.ControllerPlatformRequest, namespace: str
    ) -> sandbox_pb2.ControllerPlatformResponse:
        api = _api(self._shim(namespace, request.sandbox_id))
        try:
            answer = await api.platform()
        except Error as error:
            raise error.within("failed to get sandbox platform") from None
        return sandbox_pb2.ControllerPlatformResponse(platform=answer.platform)

    async def stop(
        self, request: sandbox_pb2.ControllerStopRequest, namespace: str
    ) -> sandbox_pb2.ControllerStopResponse:
        """Stops the sandbox. That it is unknown here, or unknown to its shim, is no error."""
        shim = self._manager.shims.find(namespace, request.sandbox_id)
        if shim is not None:
            try:
                await _api(shim).stop(request.timeout_secs)
            except (NotFound, Unavailable):
                pass  # nothing is left that could be stopped
            except Error as error:
                raise error.within("failed to stop sandbox") from None
        return sandbox_pb2.ControllerStopResponse()

    async def wait(
        self, request: sandbox_pb2.ControllerWaitRequest, namespace: str
    ) -> sandbox_pb2.ControllerWaitResponse:
        """Waits for the end of the sandbox; its shim is asked once for all who wait."""
        shim = self._shim(namespace, request.sandbox_id)
        api = _api(shim)

        async def ask() -> Exit:
            answer = await api.wait()
            return Exit(0, answer.exit_status, answer.exited_at.ToNanoseconds())

        try:
            exit_ = await self._manager.end_of_sandbox(shim, ask)
        except Error as error:
            raise error.within(f"failed to wait sandbox {request.sandbox_id}") from None
        return sandbox_pb2.ControllerWaitResponse(exit_status=exit_.status, exited_at=to_timestamp(exit_.exited_at_ns))

    async def status(
        self, request: sandbox_pb2.ControllerStatusRequest, namespace: str
    ) -> sandbox_pb2.ControllerStatusResponse:
        """What the shim says of the sandbox; of an unknown one, that it has just ended."""
        id_ = request.sandbox_id
        shim = self._manager.shims.find(namespace, id_)
        if shim is None:
            return sandbox_pb2.ControllerStatusResponse(
                sandbox_id=id_, created_at=to_timestamp(YEAR_ONE_NS), exited_at=to_timestamp(self._now_ns())
            )
        try:
            answer = await _api(shim).status(verbose=request.verbose)
        except ConnectionClosed as error:
            raise error.within(f"failed to query sandbox {id_} status") from None
        except Error as error:
            raise type(error)(f"failed to query sandbox {id_} status: {described(error)}") from None
        return sandbox_pb2.ControllerStatusResponse(
            sandbox_id=answer.sandbox_id,
            pid=answer.pid,
            state=answer.state,
            info=answer.info,
            created_at=answer.created_at,
            exited_at=answer.exited_at,
            extra=answer.extra,
            address=shim.bootstrap.address,
            version=shim.bootstrap.version,
        )

    async def shutdown(
        self, request: sandbox_pb2.ControllerShutdownRequest, namespace: str
    ) -> sandbox_pb2.ControllerShutdownResponse:
        """Ends the sandbox and its shim, and forgets it."""
        shim = self._shim(namespace, request.sandbox_id)
        await self._manager.finish(self._shut_down(shim), f"shut down sandbox {shim.id}")
        return sandbox_pb2.ControllerShutdownResponse()

    async def _shut_down(self, shim: Shim) -> None:
        async with shim.removing:
            if not self._manager.shims.holds(shim):
                raise NotFound("")
            try:
                await _api(shim).shutdown()
            except Error as error:
                raise error.within("failed to shutdown sandbox") from None
            await self._manager.end_sandbox(shim)

    async def metrics(
        self, request: sandbox_pb2.ControllerMetricsRequest, namespace: str
    ) -> sandbox_pb2.ControllerMetricsResponse:
        answer = await _api(self._shim(namespace, request.sandbox_id)).metrics()
        return sandbox_pb2.ControllerMetricsResponse(metrics=answer.metrics if answer.HasField("metrics") else None)

    async def update(
        self, request: sandbox_pb2.ControllerUpdateRequest, namespace: str
    ) -> sandbox_pb2.ControllerUpdateResponse:
        """Does nothing: shims have no such call."""
        return sandbox_pb2.ControllerUpdateResponse()

    def _shim(self, namespace: str, id_: str) -> Shim:
        shim = self._manager.shims.find(namespace, id_)
        if shim is None:
            raise NotFound("")
        return shim

    async def _take_away(self, shim: Shim) -> None:
        """Ends a sandbox that could not be made or started, whatever its shim says to that."""
        async with shim.removing:
            if not self._manager.shims.holds(shim):
                return
            try:
                await _api(shim).shutdown()
            except Error as error:
                about = fields(id=shim.id, namespace=shim.namespace, error=error)
                _LOG.warning("failed to shut down sandbox", extra=about)
                await self._manager.shut_down(shim)
            await self._manager.end_sandbox(shim)


def _api(shim: Shim) -> SandboxApi:
    return SandboxApi(shim.connection, shim.bootstrap, shim.namespace, shim.id)
