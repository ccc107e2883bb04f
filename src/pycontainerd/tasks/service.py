"""`containerd.services.tasks.v1.Tasks` (tasks-containers-sandbox.md §3)."""

from __future__ import annotations

from functools import partial
from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp

from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2
from pycontainerd.api.containerd.services.tasks import v1_pb2 as tasks_pb2
from pycontainerd.api.containerd.types_pb2 import Descriptor as Wire
from pycontainerd.api.containerd.v1 import types_pb2 as process_pb2
from pycontainerd.errors import InvalidArgument, Unknown
from pycontainerd.oci.image import Descriptor
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service
from pycontainerd.runtime.model import Exit, Payload, RootfsMount, State, Stdio
from pycontainerd.tasks import checkpoints as requested
from pycontainerd.tasks import metrics
from pycontainerd.tasks.checkpointing import Checkpoints
from pycontainerd.tasks.model import NewTask
from pycontainerd.tasks.store import Tasks

RUNC_OPTIONS: Final = runc_pb2.Options.DESCRIPTOR.full_name


class TasksService(Service):
    """The tasks of the daemon for clients."""

    contract = tasks_pb2.DESCRIPTOR.services_by_name["Tasks"]

    def __init__(self, tasks: Tasks, checkpoints: Checkpoints) -> None:
        self._tasks = tasks
        self._checkpoints = checkpoints

    async def create(self, request: tasks_pb2.CreateTaskRequest, call: Call) -> tasks_pb2.CreateTaskResponse:
        namespace, id_ = call.namespace, request.container_id
        container = await self._tasks.container(namespace, id_)
        options = _options(request, container.runtime)
        checkpoint = requested.source(request, options)
        if isinstance(checkpoint, Descriptor):
            self._checkpoints.require(namespace, checkpoint)
        task = NewTask(
            id=id_,
            rootfs=tuple(
                RootfsMount(mount.type, mount.source, mount.target, tuple(mount.options)) for mount in request.rootfs
            ),
            stdio=_stdio(request),
            checkpoint=checkpoint if isinstance(checkpoint, str) else "",
            # The options of the container hold when those of the task are empty.
            options=_payload(request.options) if request.options.value else None,
            runtime=request.runtime_path,
            api_address=request.task_api_address or options.task_api_address,
            api_version=request.task_api_version or options.task_api_version,
            change=partial(self._checkpoints.change, checkpoint)
            if isinstance(checkpoint, str) and requested.restores_at_once(request)
            else None,
            unpack=partial(self._checkpoints.unpack, namespace, checkpoint)
            if isinstance(checkpoint, Descriptor)
            else None,
        )
        pid = await self._tasks.create(namespace, container, task)
        return tasks_pb2.CreateTaskResponse(container_id=id_, pid=pid)

    async def start(self, request: tasks_pb2.StartRequest, call: Call) -> tasks_pb2.StartResponse:
        pid = await self._tasks.start(call.namespace, request.container_id, request.exec_id)
        return tasks_pb2.StartResponse(pid=pid)

    async def delete(self, request: tasks_pb2.DeleteTaskRequest, call: Call) -> tasks_pb2.DeleteResponse:
        exit_ = await self._tasks.delete(call.namespace, request.container_id)
        return _deleted("", exit_)

    async def delete_process(self, request: tasks_pb2.DeleteProcessRequest, call: Call) -> tasks_pb2.DeleteResponse:
        exit_ = await self._tasks.delete_process(call.namespace, request.container_id, request.exec_id)
        return _deleted(request.exec_id, exit_)

    async def get(self, request: tasks_pb2.GetRequest, call: Call) -> tasks_pb2.GetResponse:
        state = await self._tasks.state(call.namespace, request.container_id, request.exec_id)
        return tasks_pb2.GetResponse(process=_process(state))

    async def list(self, request: tasks_pb2.ListTasksRequest, call: Call) -> tasks_pb2.ListTasksResponse:
        states = await self._tasks.states(call.namespace)
        return tasks_pb2.ListTasksResponse(tasks=[_process(state) for state in states])

    async def exec(self, request: tasks_pb2.ExecProcessRequest, call: Call) -> Empty:
        namespace = call.namespace
        if not request.exec_id:
            raise InvalidArgument("exec id cannot be empty", bare=True)
        if not request.HasField("spec"):
            raise InvalidArgument(f"exec {request.exec_id} in task {request.container_id}: the request has no spec")
        await self._tasks.add_exec(
            namespace, request.container_id, request.exec_id, _stdio(request), _payload(request.spec)
        )
        return Empty()

    async def kill(self, request: tasks_pb2.KillRequest, call: Call) -> Empty:
        await self._tasks.kill(call.namespace, request.container_id, request.exec_id, request.signal, all_=request.all)
        return Empty()

    async def wait(self, request: tasks_pb2.WaitRequest, call: Call) -> tasks_pb2.WaitResponse:
        exit_ = await self._tasks.wait(call.namespace, request.container_id, request.exec_id)
        return tasks_pb2.WaitResponse(exit_status=exit_.status, exited_at=_timestamp(exit_.exited_at_ns))

    async def pause(self, request: tasks_pb2.PauseTaskRequest, call: Call) -> Empty:
        await self._tasks.pause(call.namespace, request.container_id)
        return Empty()

    async def resume(self, request: tasks_pb2.ResumeTaskRequest, call: Call) -> Empty:
        await self._tasks.resume(call.namespace, request.container_id)
        return Empty()

    async def resize_pty(self, request: tasks_pb2.ResizePtyRequest, call: Call) -> Empty:
        await self._tasks.resize_pty(
            call.namespace, request.container_id, request.exec_id, request.width, request.height
        )
        return Empty()

    async def close_io(self, request: tasks_pb2.CloseIORequest, call: Call) -> Empty:
        await self._tasks.close_io(call.namespace, request.container_id, request.exec_id, stdin=request.stdin)
        return Empty()

    async def list_pids(self, request: tasks_pb2.ListPidsRequest, call: Call) -> tasks_pb2.ListPidsResponse:
        response = tasks_pb2.ListPidsResponse()
        for process in await self._tasks.pids(call.namespace, request.container_id):
            added = response.processes.add(pid=process.pid)
            if process.info is not None:
                added.info.type_url, added.info.value = process.info.type_url, process.info.value
        return response

    async def update(self, request: tasks_pb2.UpdateTaskRequest, call: Call) -> Empty:
        namespace = call.namespace
        if not request.HasField("resources"):
            raise InvalidArgument(f"update of task {request.container_id}: the request has no resources")
        await self._tasks.update(
            namespace, request.container_id, _payload(request.resources), dict(request.annotations)
        )
        return Empty()

    async def checkpoint(
        self, request: tasks_pb2.CheckpointTaskRequest, call: Call
    ) -> tasks_pb2.CheckpointTaskResponse:
        namespace, id_ = call.namespace, request.container_id
        container = await self._tasks.container(namespace, id_)
        await self._tasks.shim(namespace, id_)
        image_path = requested.image_path(request, container.runtime)
        options = _payload(request.options) if request.HasField("options") else None
        spec = AnyMessage(type_url=container.spec_type, value=container.spec).SerializeToString()
        kept = await self._checkpoints.take(namespace, id_, options, image_path, spec=spec, lease=call.lease)
        descriptors = [Wire(media_type=it.media_type, digest=it.digest, size=it.size) for it in kept]
        return tasks_pb2.CheckpointTaskResponse(descriptors=descriptors)

    async def metrics(self, request: tasks_pb2.MetricsRequest, call: Call) -> tasks_pb2.MetricsResponse:
        namespace = call.namespace
        response = tasks_pb2.MetricsResponse()
        for it in await self._tasks.statistics(namespace, metrics.wanted(request.filters, namespace)):
            data = AnyMessage(type_url=it.data.type_url, value=it.data.value)
            response.metrics.add(timestamp=_timestamp(it.timestamp_ns), id=it.id, data=data)
        return response


def _options(request: tasks_pb2.CreateTaskRequest, runtime: str) -> runc_pb2.Options:
    """The options of the task. Raises Unknown, as the original does, if they are no options of runc."""
    if not request.HasField("options"):
        return runc_pb2.Options()
    name = request.options.type_url.rpartition("/")[2]
    if name != RUNC_OPTIONS:
        if not requested.is_known_type(name):
            raise Unknown(f"type with url {request.options.type_url}: not found")
        raise Unknown(f"invalid task create option for {runtime}")
    try:
        return runc_pb2.Options.FromString(request.options.value)
    except DecodeError as error:
        raise Unknown("proto: cannot parse invalid wire-format data") from error


def _stdio(request: tasks_pb2.CreateTaskRequest | tasks_pb2.ExecProcessRequest) -> Stdio:
    return Stdio(request.stdin, request.stdout, request.stderr, request.terminal)


def _payload(value: AnyMessage) -> Payload:
    return Payload(value.type_url, value.value)


def _timestamp(ns: int) -> Timestamp:
    seconds, nanos = divmod(ns, 1_000_000_000)
    return Timestamp(seconds=seconds, nanos=nanos)


def _process(state: State) -> process_pb2.Process:
    return process_pb2.Process(
        id=state.id,
        pid=state.pid,
        status=state.status.name,
        stdin=state.stdio.stdin,
        stdout=state.stdio.stdout,
        stderr=state.stdio.stderr,
        terminal=state.stdio.terminal,
        exit_status=state.exit_status,
        exited_at=_timestamp(state.exited_at_ns),
    )


def _deleted(id_: str, exit_: Exit) -> tasks_pb2.DeleteResponse:
    return tasks_pb2.DeleteResponse(
        id=id_, pid=exit_.pid, exit_status=exit_.status, exited_at=_timestamp(exit_.exited_at_ns)
    )
