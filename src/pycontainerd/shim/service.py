"""The task API of the shim, versions 2 and 3: the same code over messages that differ in their package alone."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2
from pycontainerd.api.containerd.task import v2_pb2, v3_pb2
from pycontainerd.api.containerd.v1 import types_pb2
from pycontainerd.errors import InvalidArgument
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service, ServiceTable
from pycontainerd.shim import options as runc_options
from pycontainerd.shim import stats
from pycontainerd.shim.checkpoint import Checkpoint
from pycontainerd.shim.creation import CreateTask, mounts_of
from pycontainerd.shim.logs.service import LogsService
from pycontainerd.shim.process import State
from pycontainerd.shim.stdio import uri
from pycontainerd.shim.tasks import Tasks
from pycontainerd.shim.timestamp import set_timestamp

_STATUS: Final = {
    State.CREATED: types_pb2.CREATED,
    State.RUNNING: types_pb2.RUNNING,
    State.PAUSING: types_pb2.PAUSING,
    State.PAUSED: types_pb2.PAUSED,
    State.STOPPED: types_pb2.STOPPED,
    State.DELETED: types_pb2.STOPPED,
}


class _TaskService(Service):
    """What changes a container runs to its end even if the caller goes away in the middle of it."""

    messages: ClassVar[Any] = None
    _tasks: Tasks

    def attach(self, tasks: Tasks) -> None:
        """Serves *tasks*; until then no call may come."""
        self._tasks = tasks
        self._shielded = tasks.host.loop.shielded

    async def create(self, request: Any, call: Call) -> Any:
        if not request.bundle:
            raise InvalidArgument(f"task {request.id}: create without bundle")
        wanted = CreateTask(
            request.id,
            request.bundle,
            mounts_of(request.rootfs),
            _stdio(request),
            runc_options.from_any(request.options),
            request.checkpoint,
            request.parent_checkpoint,
        )
        container = await self._shielded(self._tasks.create(wanted), name="create")
        return self.messages.CreateTaskResponse(pid=container.init.pid)

    async def start(self, request: Any, call: Call) -> Any:
        pid = await self._shielded(self._tasks.start(request.id, request.exec_id), name="start")
        return self.messages.StartResponse(pid=pid)

    async def delete(self, request: Any, call: Call) -> Any:
        process = await self._shielded(self._tasks.delete(request.id, request.exec_id), name="delete")
        response = self.messages.DeleteResponse(pid=process.pid, exit_status=process.exit_status)
        set_timestamp(response.exited_at, process.exited_at_ns)
        return response

    async def exec(self, request: Any, call: Call) -> Any:
        if not request.HasField("spec"):
            raise InvalidArgument(f"exec {request.exec_id} in task {request.id}: no process spec")
        self._tasks.find(request.id).execs.add(request.exec_id, _stdio(request), request.spec.value)
        return Empty()

    async def state(self, request: Any, call: Call) -> Any:
        container = self._tasks.find(request.id)
        process = container.find(request.exec_id)
        state = process.state
        if process is not container.init and container.init.state in (State.PAUSED, State.PAUSING):
            state = container.init.state
        response = self.messages.StateResponse(
            id=process.id,
            bundle=container.bundle,
            pid=process.pid,
            status=_STATUS[state],
            stdin=process.request.stdin,
            stdout=process.request.stdout,
            stderr=process.request.stderr,
            terminal=process.request.terminal,
            exit_status=process.exit_status,
        )
        set_timestamp(response.exited_at, process.exited_at_ns)
        return response

    async def pids(self, request: Any, call: Call) -> Any:
        response = self.messages.PidsResponse()
        for pid, exec_id in await self._tasks.find(request.id).pids():
            entry = response.processes.add(pid=pid)
            if exec_id:
                details = runc_pb2.ProcessDetails(exec_id=exec_id)
                entry.info.type_url = details.DESCRIPTOR.full_name
                entry.info.value = details.SerializeToString()
        return response

    async def kill(self, request: Any, call: Call) -> Empty:
        container = self._tasks.find(request.id)
        if request.exec_id:
            container.execs.find(request.exec_id).kill(request.signal)
        else:
            await self._shielded(container.kill(request.signal, everyone=request.all), name="kill")
        return Empty()

    async def pause(self, request: Any, call: Call) -> Empty:
        await self._shielded(self._tasks.find(request.id).pause(), name="pause")
        return Empty()

    async def resume(self, request: Any, call: Call) -> Empty:
        await self._shielded(self._tasks.find(request.id).resume(), name="resume")
        return Empty()

    async def checkpoint(self, request: Any, call: Call) -> Empty:
        container = self._tasks.find(request.id)
        how = Checkpoint.parse(request.path, request.options)
        await self._shielded(container.checkpoint(how), name="checkpoint")
        return Empty()

    async def resize_pty(self, request: Any, call: Call) -> Empty:
        process = self._tasks.process(request.id, request.exec_id)
        process.resize(request.width & 0xFFFF, request.height & 0xFFFF)
        return Empty()

    async def close_io(self, request: Any, call: Call) -> Empty:
        process = self._tasks.process(request.id, request.exec_id)
        if request.stdin:
            process.close_stdin()
        return Empty()

    async def update(self, request: Any, call: Call) -> Empty:
        container = self._tasks.find(request.id)
        if not request.HasField("resources"):
            raise InvalidArgument(f"update of task {request.id}: no resources")
        await self._shielded(container.update(request.resources.value), name="update")
        return Empty()

    async def wait(self, request: Any, call: Call) -> Any:
        process = self._tasks.process(request.id, request.exec_id)
        await process.exited
        response = self.messages.WaitResponse(exit_status=process.exit_status)
        set_timestamp(response.exited_at, process.exited_at_ns)
        return response

    async def stats(self, request: Any, call: Call) -> Any:
        metrics = stats.read(self._tasks.find(request.id).cgroup)
        response = self.messages.StatsResponse()
        response.stats.type_url = metrics.DESCRIPTOR.full_name
        response.stats.value = metrics.SerializeToString()
        return response

    async def connect(self, request: Any, call: Call) -> Any:
        shim_pid, task_pid = self._tasks.connect(request.id)
        return self.messages.ConnectResponse(shim_pid=shim_pid, task_pid=task_pid)

    async def shutdown(self, request: Any, call: Call) -> Empty:
        self._tasks.ask_for_shutdown()
        return Empty()


class TaskServiceV2(_TaskService):
    """`containerd.task.v2.Task`"""

    contract = v2_pb2.DESCRIPTOR.services_by_name["Task"]
    messages: ClassVar[Any] = v2_pb2


class TaskServiceV3(_TaskService):
    """`containerd.task.v3.Task`"""

    contract = v3_pb2.DESCRIPTOR.services_by_name["Task"]
    messages: ClassVar[Any] = v3_pb2


class TaskServices:
    """Both versions, and the logs, in one table. Made before a shim is forked: making it touches every method
    (350 kB a shim).
    """

    def __init__(self) -> None:
        self._services = (TaskServiceV3(), TaskServiceV2())
        self._logs = LogsService()
        self.table = ServiceTable([*self._services, self._logs])

    def attach(self, tasks: Tasks) -> None:
        """Serves *tasks* from now on."""
        for service in self._services:
            service.attach(tasks)
        self._logs.serve(tasks.log)


def _stdio(request: Any) -> uri.Request:
    return uri.Request(request.stdin, request.stdout, request.stderr, request.terminal)
