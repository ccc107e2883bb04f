"""The task API of a shim, version 2 or 3, as the daemon calls it.

Both versions have the same messages, so that those of version 3 serve for both; only the names of the methods differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from pycontainerd.api.containerd.task import v3_pb2 as task_pb2
from pycontainerd.errors import Unimplemented
from pycontainerd.rpc.call import NAMESPACE_HEADER, NAMESPACE_TTRPC, Metadata
from pycontainerd.rpc.service import Method, methods_of
from pycontainerd.runtime.bootstrap import GRPC, Bootstrap
from pycontainerd.runtime.model import Exit, Payload, ProcessInfo, RootfsMount, State, Status, Stdio

_SERVICE: Final = task_pb2.DESCRIPTOR.services_by_name["Task"]
_STATUSES: Final = {int(status): status for status in Status}
_OLD_SERVICE: Final = "containerd.task.v2.Task"
_METHODS: Final[dict[int, dict[str, Method]]] = {3: methods_of(_SERVICE)}
_METHODS[2] = {
    name: Method(
        method.path.replace(_SERVICE.full_name, _OLD_SERVICE),
        method.request,
        method.response,
        method.client_streaming,
        method.server_streaming,
    )
    for name, method in _METHODS[3].items()
}


class Caller(Protocol):
    """What the task API needs of a connection; see `rpc.client.Client`."""

    async def unary(
        self, method: Method, request: Message, *, metadata: Metadata = (), timeout_s: float | None = None
    ) -> Any: ...


def namespace_metadata(bootstrap: Bootstrap, namespace: str) -> Metadata:
    """What tells a shim the namespace of a call."""
    return ((NAMESPACE_HEADER if bootstrap.protocol == GRPC else NAMESPACE_TTRPC, namespace),)


class TaskApi:
    """Calls of one shim in one namespace. Errors are those that the shim answers, or that its connection ends with."""

    __slots__ = ("_client", "_metadata", "_methods")

    def __init__(self, client: Caller, bootstrap: Bootstrap, namespace: str) -> None:
        self._client = client
        self._methods = _METHODS[3 if bootstrap.version >= 3 else 2]
        self._metadata = namespace_metadata(bootstrap, namespace)

    @property
    def version(self) -> int:
        """The version of the API that the shim is called with."""
        return 3 if self._methods is _METHODS[3] else 2

    async def connect(self, id_: str, *, timeout_s: float | None = None) -> int:
        """The pid of the shim."""
        response = await self._first_call("connect", task_pb2.ConnectRequest(id=id_), timeout_s)
        return int(response.shim_pid)

    async def create(
        self,
        id_: str,
        bundle: str,
        *,
        rootfs: Sequence[RootfsMount],
        stdio: Stdio,
        checkpoint: str,
        options: Payload | None,
    ) -> int:
        """Creates the container: the pid of its init, 0 if it comes from a checkpoint."""
        request = task_pb2.CreateTaskRequest(
            id=id_,
            bundle=bundle,
            terminal=stdio.terminal,
            stdin=stdio.stdin,
            stdout=stdio.stdout,
            stderr=stdio.stderr,
            checkpoint=checkpoint,
        )
        for mount in rootfs:
            request.rootfs.add(type=mount.type, source=mount.source, target=mount.target, options=mount.options)
        if options is not None:
            request.options.CopyFrom(_any(options))
        response = await self._first_call("create", request)
        return int(response.pid)

    async def start(self, id_: str, exec_id: str) -> int:
        response = await self._call("start", task_pb2.StartRequest(id=id_, exec_id=exec_id))
        return int(response.pid)

    async def delete(self, id_: str, exec_id: str, *, timeout_s: float | None = None) -> Exit:
        request = task_pb2.DeleteRequest(id=id_, exec_id=exec_id)
        response = await self._call("delete", request, timeout_s)
        return Exit(response.pid, response.exit_status, exited_at_ns(response))

    async def exec(self, id_: str, exec_id: str, stdio: Stdio, spec: Payload) -> None:
        request = task_pb2.ExecProcessRequest(
            id=id_,
            exec_id=exec_id,
            terminal=stdio.terminal,
            stdin=stdio.stdin,
            stdout=stdio.stdout,
            stderr=stdio.stderr,
            spec=_any(spec),
        )
        await self._call("exec", request)

    async def state(self, id_: str, exec_id: str, *, timeout_s: float | None = None) -> State:
        response = await self._call("state", task_pb2.StateRequest(id=id_, exec_id=exec_id), timeout_s)
        stdio = Stdio(response.stdin, response.stdout, response.stderr, response.terminal)
        status = _STATUSES.get(response.status, Status.UNKNOWN)
        return State(exec_id or id_, response.pid, status, stdio, response.exit_status, exited_at_ns(response))

    async def pids(self, id_: str, *, timeout_s: float | None = None) -> list[ProcessInfo]:
        response = await self._call("pids", task_pb2.PidsRequest(id=id_), timeout_s)
        return [
            ProcessInfo(
                process.pid,
                Payload(process.info.type_url, process.info.value) if process.HasField("info") else None,
            )
            for process in response.processes
        ]

    async def kill(self, id_: str, exec_id: str, signal: int, *, all_: bool) -> None:
        await self._call("kill", task_pb2.KillRequest(id=id_, exec_id=exec_id, signal=signal, all=all_))

    async def pause(self, id_: str) -> None:
        await self._call("pause", task_pb2.PauseRequest(id=id_))

    async def resume(self, id_: str) -> None:
        await self._call("resume", task_pb2.ResumeRequest(id=id_))

    async def resize_pty(self, id_: str, exec_id: str, width: int, height: int) -> None:
        request = task_pb2.ResizePtyRequest(id=id_, exec_id=exec_id, width=width, height=height)
        await self._call("resize_pty", request)

    async def close_stdin(self, id_: str, exec_id: str) -> None:
        await self._call("close_io", task_pb2.CloseIORequest(id=id_, exec_id=exec_id, stdin=True))

    async def update(self, id_: str, resources: Payload, annotations: dict[str, str]) -> None:
        request = task_pb2.UpdateTaskRequest(id=id_, resources=_any(resources), annotations=annotations)
        await self._call("update", request)

    async def checkpoint(self, id_: str, path: str, options: Payload | None) -> None:
        request = task_pb2.CheckpointTaskRequest(id=id_, path=path)
        if options is not None:
            request.options.CopyFrom(_any(options))
        await self._call("checkpoint", request)

    async def wait(self, id_: str, exec_id: str) -> Exit:
        response = await self._call("wait", task_pb2.WaitRequest(id=id_, exec_id=exec_id))
        return Exit(0, response.exit_status, exited_at_ns(response))

    async def stats(self, id_: str, *, timeout_s: float | None = None) -> Payload:
        response = await self._call("stats", task_pb2.StatsRequest(id=id_), timeout_s)
        return Payload(response.stats.type_url, response.stats.value)

    async def shutdown(self, id_: str, *, timeout_s: float | None = None) -> None:
        await self._call("shutdown", task_pb2.ShutdownRequest(id=id_), timeout_s)

    async def _first_call(self, name: str, request: Message, timeout_s: float | None = None) -> Any:
        """A call that may be the first: a shim that claims version 3 may know the names of version 2 only."""
        try:
            return await self._call(name, request, timeout_s)
        except Unimplemented:
            if self._methods is _METHODS[2]:
                raise
            self._methods = _METHODS[2]
            return await self._call(name, request, timeout_s)

    async def _call(self, name: str, request: Message, timeout_s: float | None = None) -> Any:
        return await self._client.unary(
            self._methods[name], request, metadata=self._metadata, timeout_s=timeout_s or None
        )


def exited_at_ns(message: Any) -> int:
    """The field `exited_at` of *message*; 1970 if it is absent, as the original has it."""
    stamp: Timestamp = message.exited_at
    return stamp.seconds * 1_000_000_000 + stamp.nanos


def _any(payload: Payload) -> AnyMessage:
    return AnyMessage(type_url=payload.type_url, value=payload.value)
