"""Tasks: what runs, and further processes executed in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from google.protobuf.any_pb2 import Any

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.tasks import v1_pb2 as tasks_pb2
from pycontainerd.api.containerd.v1 import types_pb2 as process_pb2
from pycontainerd.client.session import Api
from pycontainerd.rpc.service import methods_of

_METHODS: Final = methods_of(tasks_pb2.DESCRIPTOR.services_by_name["Tasks"])


class Tasks(Api):
    """The tasks of a namespace; an empty *exec_id* means the first process."""

    __slots__ = ()

    async def create(
        self,
        container_id: str,
        *,
        rootfs: Iterable[types_pb2.Mount] = (),
        stdin: str = "",
        stdout: str = "",
        stderr: str = "",
        terminal: bool = False,
        options: Any | None = None,
        checkpoint: types_pb2.Descriptor | None = None,
    ) -> int:
        """Prepares the task of a container and returns the pid of its first process, which waits for `start`.

        One that is to be restored from *checkpoint* gets its pid there.
        """
        request = tasks_pb2.CreateTaskRequest(
            container_id=container_id,
            rootfs=rootfs,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            terminal=terminal,
            options=options,
            checkpoint=checkpoint,
        )
        reply: tasks_pb2.CreateTaskResponse = await self._session.unary(_METHODS["create"], request)
        return reply.pid

    async def start(self, container_id: str, exec_id: str = "") -> int:
        """Lets a process run and returns its pid."""
        request = tasks_pb2.StartRequest(container_id=container_id, exec_id=exec_id)
        reply: tasks_pb2.StartResponse = await self._session.unary(_METHODS["start"], request)
        return reply.pid

    async def get(self, container_id: str, exec_id: str = "") -> process_pb2.Process:
        """Raises NotFound."""
        request = tasks_pb2.GetRequest(container_id=container_id, exec_id=exec_id)
        reply: tasks_pb2.GetResponse = await self._session.unary(_METHODS["get"], request)
        return reply.process

    async def list(self) -> list[process_pb2.Process]:
        """All tasks of the namespace."""
        reply: tasks_pb2.ListTasksResponse = await self._session.unary(_METHODS["list"], tasks_pb2.ListTasksRequest())
        return list(reply.tasks)

    async def kill(self, container_id: str, signal: int, *, exec_id: str = "", everyone: bool = False) -> None:
        """Sends *signal* to a process, or with *everyone* to all of the container. Raises NotFound."""
        request = tasks_pb2.KillRequest(container_id=container_id, exec_id=exec_id, signal=signal, all=everyone)
        await self._session.unary(_METHODS["kill"], request)

    async def delete(self, container_id: str) -> tasks_pb2.DeleteResponse:
        """Removes a task that has ended and returns how. Raises NotFound."""
        request = tasks_pb2.DeleteTaskRequest(container_id=container_id)
        reply: tasks_pb2.DeleteResponse = await self._session.unary(_METHODS["delete"], request)
        return reply

    async def delete_process(self, container_id: str, exec_id: str) -> tasks_pb2.DeleteResponse:
        """Removes an executed process that has ended and returns how. Raises NotFound."""
        request = tasks_pb2.DeleteProcessRequest(container_id=container_id, exec_id=exec_id)
        reply: tasks_pb2.DeleteResponse = await self._session.unary(_METHODS["delete_process"], request)
        return reply

    async def execute(
        self,
        container_id: str,
        exec_id: str,
        spec: Any,
        *,
        stdin: str = "",
        stdout: str = "",
        stderr: str = "",
        terminal: bool = False,
    ) -> None:
        """Prepares one more process of a task; `start` runs it. Raises AlreadyExists."""
        request = tasks_pb2.ExecProcessRequest(
            container_id=container_id,
            exec_id=exec_id,
            spec=spec,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            terminal=terminal,
        )
        await self._session.unary(_METHODS["exec"], request)

    async def resize(self, container_id: str, width: int, height: int, exec_id: str = "") -> None:
        """Tells a process with a terminal its size in characters."""
        request = tasks_pb2.ResizePtyRequest(container_id=container_id, exec_id=exec_id, width=width, height=height)
        await self._session.unary(_METHODS["resize_pty"], request)

    async def close_stdin(self, container_id: str, exec_id: str = "") -> None:
        """Lets a process see the end of its input once the last writer is gone."""
        request = tasks_pb2.CloseIORequest(container_id=container_id, exec_id=exec_id, stdin=True)
        await self._session.unary(_METHODS["close_io"], request)

    async def pause(self, container_id: str) -> None:
        await self._session.unary(_METHODS["pause"], tasks_pb2.PauseTaskRequest(container_id=container_id))

    async def resume(self, container_id: str) -> None:
        await self._session.unary(_METHODS["resume"], tasks_pb2.ResumeTaskRequest(container_id=container_id))

    async def checkpoint(self, container_id: str, options: Any | None = None) -> Sequence[types_pb2.Descriptor]:
        """Stores the state of a running task, or writes it to the directory that *options* name.

        Returns the blobs with its files and with its spec, none if it was written.
        """
        request = tasks_pb2.CheckpointTaskRequest(container_id=container_id, options=options)
        reply: tasks_pb2.CheckpointTaskResponse = await self._session.unary(_METHODS["checkpoint"], request)
        return list(reply.descriptors)

    async def pids(self, container_id: str) -> Sequence[process_pb2.ProcessInfo]:
        """The processes of a container, seen from outside."""
        request = tasks_pb2.ListPidsRequest(container_id=container_id)
        reply: tasks_pb2.ListPidsResponse = await self._session.unary(_METHODS["list_pids"], request)
        return list(reply.processes)

    async def metrics(self, *filters: str) -> Sequence[types_pb2.Metric]:
        """A sample of each task that one of *filters* matches."""
        request = tasks_pb2.MetricsRequest(filters=filters)
        reply: tasks_pb2.MetricsResponse = await self._session.unary(_METHODS["metrics"], request)
        return list(reply.metrics)

    async def wait(self, container_id: str, exec_id: str = "") -> tasks_pb2.WaitResponse:
        """Returns when a process has ended, with its exit status. Raises NotFound."""
        request = tasks_pb2.WaitRequest(container_id=container_id, exec_id=exec_id)
        reply: tasks_pb2.WaitResponse = await self._session.unary(_METHODS["wait"], request)
        return reply
