"""The containers of one shim, by id."""

from __future__ import annotations

import os
from collections.abc import Callable

from pycontainerd.api.containerd import events_pb2
from pycontainerd.errors import AlreadyExists, FailedPrecondition, NotFound
from pycontainerd.rpc.call import check_identifier
from pycontainerd.shim.container import Container
from pycontainerd.shim.creation import CreateTask
from pycontainerd.shim.execs import Exec
from pycontainerd.shim.host import Host
from pycontainerd.shim.logs.log import Log
from pycontainerd.shim.process import Process
from pycontainerd.shim.timestamp import set_timestamp


class Tasks:
    """Creates, finds and deletes containers. `shutdown` is set when it is asked for and none is left."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._containers: dict[str, Container] = {}
        self._creating: set[str] = set()
        self.shutdown = host.loop.waiter()
        self.before_shutdown: Callable[[], None] = lambda: None
        """Called before whoever asks for the shutdown is answered."""

    def find(self, id_: str) -> Container:
        """Raises NotFound."""
        container = self._containers.get(id_)
        if container is None:
            raise NotFound("container not created")
        return container

    def process(self, id_: str, exec_id: str) -> Process:
        """Init or an exec of a container. Raises NotFound."""
        return self.find(id_).find(exec_id)

    def log(self, id_: str, exec_id: str) -> Log:
        """The log of a process that we write. Raises NotFound, FailedPrecondition if its output goes elsewhere."""
        streams = self.process(id_, exec_id).streams
        if streams is None or streams.log is None:
            raise FailedPrecondition(f"the output of {exec_id or id_} goes to no log of ours")
        return streams.log

    async def create(self, request: CreateTask) -> Container:
        """Raises AlreadyExists; what `Container.create` raises."""
        check_identifier(request.id)
        if request.id in self._containers or request.id in self._creating:
            raise AlreadyExists(f"container {request.id}")
        self._creating.add(request.id)
        try:
            container = Container(self.host, request)
            await container.create()
            self._containers[request.id] = container
        finally:
            self._creating.discard(request.id)
        return container

    async def start(self, id_: str, exec_id: str) -> int:
        """Starts init or an exec: its pid."""
        container = self.find(id_)
        process = container.find(exec_id)
        return await container.execs.start(process) if isinstance(process, Exec) else await container.start()

    async def delete(self, id_: str, exec_id: str) -> Process:
        """Deletes a process that does not run; with init goes the container."""
        container = self.find(id_)
        process = container.find(exec_id)
        if isinstance(process, Exec):
            await container.execs.delete(process)
            return process
        await container.delete()
        self._containers.pop(id_, None)
        event = events_pb2.TaskDelete(container_id=id_, pid=process.pid, exit_status=process.exit_status)
        set_timestamp(event.exited_at, process.exited_at_ns)
        self.host.publisher.publish("/tasks/delete", event)
        return process

    def ask_for_shutdown(self) -> None:
        """Ends the shim, unless containers are left in it."""
        if not self._containers and not self._creating:
            self.before_shutdown()
            self.shutdown.set(None)

    def connect(self, id_: str) -> tuple[int, int]:
        """The pid of the shim and that of a container's init, 0 if it is unknown."""
        container = self._containers.get(id_)
        return os.getpid(), container.init.pid if container is not None else 0
