"""Additional processes of a container: added, started, counted while they run, deleted."""

from __future__ import annotations

import contextlib
import os
from signal import SIGKILL
from typing import TYPE_CHECKING, Any

import msgspec

from pycontainerd.api.containerd import events_pb2
from pycontainerd.errors import AlreadyExists, Error, FailedPrecondition, NotFound, Unknown
from pycontainerd.rpc.call import check_identifier
from pycontainerd.shim import exit_record
from pycontainerd.shim.process import Process, State, refusal
from pycontainerd.shim.runc import RuncFailed
from pycontainerd.shim.stdio import uri

if TYPE_CHECKING:
    from pycontainerd.shim.container import Container


class Exec(Process):
    """A process that is run in the container beside its init. *spec* is its OCI process object as JSON."""

    def __init__(self, container: Container, id_: str, request: uri.Request, spec: bytes) -> None:
        super().__init__(container.host.loop, id_, request)
        self.spec = spec

    def resize(self, width: int, height: int) -> None:
        if self.stopped:
            raise Unknown(f"cannot resize a {self.state} container")
        super().resize(width, height)

    def kill(self, signal: int) -> None:
        """Sends a signal. Raises FailedPrecondition before the start, NotFound after the end."""
        if self.stopped:
            raise NotFound("process already finished")
        if not self.pid:
            raise FailedPrecondition("process not created")
        try:
            os.kill(self.pid, signal)
        except ProcessLookupError as error:
            raise NotFound("process already finished") from error
        except (OSError, OverflowError) as error:
            raise Unknown(f"unknown error after kill: {str(getattr(error, 'strerror', error)).lower()}") from error


class Execs:
    """The execs of one container. None starts once init has ended; the exit of init waits for those that run."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._known: dict[str, Exec] = {}
        self._starting = 0
        self._running = 0
        self._changed = container.host.loop.waiter()
        self._refusing = False

    def __iter__(self) -> Any:
        return iter(list(self._known.values()))

    def find(self, id_: str) -> Exec:
        """Raises NotFound."""
        found = self._known.get(id_)
        if found is None:
            raise NotFound(f"process does not exist {id_}")
        return found

    def add(self, id_: str, request: uri.Request, spec: bytes) -> None:
        """Adds an exec; nothing runs yet. Raises AlreadyExists, InvalidArgument, Unknown for a spec that isn't JSON."""
        check_identifier(id_)
        if id_ in self._known:
            raise AlreadyExists(f"id {id_}")
        container = self._container
        container.init.check("exec")
        if container.restores:
            raise refusal("exec", container.init.state)
        process = _parse(spec)
        process["terminal"] = request.terminal
        self._known[id_] = Exec(container, id_, request, msgspec.json.encode(process))
        added = events_pb2.TaskExecAdded(container_id=container.id, exec_id=id_)
        container.host.publisher.publish("/tasks/exec-added", added)

    async def start(self, process: Exec) -> int:
        """Runs an exec: its pid."""
        async with process.lock:
            if self._refusing:
                raise FailedPrecondition(f"container {self._container.id} init process is not running")
            process.check("start")
            self._starting += 1
            try:
                exited = await self._run(process)
            except BaseException:
                process.exited.set(None)
                await process.close_streams()
                raise
            finally:
                self._starting -= 1
                self._notice()
            return self._started(process, exited)

    def _started(self, process: Exec, exited: Any) -> int:
        container = self._container
        process.state = State.RUNNING
        self._running += 1
        started = events_pb2.TaskExecStarted(container_id=container.id, exec_id=process.id, pid=process.pid)
        container.host.publisher.publish("/tasks/exec-started", started)
        container.host.loop.spawn(self._watch(process, exited), name=f"exec {process.id}")
        return process.pid

    async def _run(self, process: Exec) -> Any:
        container = self._container
        bundle = container.bundle
        process.streams = streams = await container.open_streams(process)
        description = os.path.join(bundle, f".{process.id}.process.json")
        pid_file = os.path.join(bundle, f"{process.id}.pid")
        console = ["--console-socket", streams.console_socket] if streams.console_socket else []
        with container.host.reaper.expecting():
            try:
                _write(description, process.spec)
                flags = ["--process", description, *console, "--detach", "--pid-file", pid_file]
                await container.hand_over(streams, "exec", *flags, container.id)
                process.pid = read_pid(pid_file)
            except RuncFailed as error:
                raise error.because("OCI runtime exec failed") from error
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(description)
            return container.host.reaper.exit_of(process.pid)

    async def _watch(self, process: Exec, exited: Any) -> None:
        ended = await exited
        self._container.finish(process, ended)
        self._running -= 1
        self._notice()

    async def delete(self, process: Exec) -> None:
        """Forgets an exec that does not run."""
        async with process.lock:
            process.check("delete")
            if process.streams is not None:
                await process.streams.drained()
            await process.close_streams()
            process.state = State.DELETED
            process.exited.set(None)
        self._known.pop(process.id, None)
        exit_record.remove(self._container.bundle, process.id)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._container.bundle, f"{process.id}.pid"))

    def refuse(self) -> None:
        """Starts none any more: init has ended."""
        self._refusing = True

    def kill_running(self) -> None:
        """Kills those that run."""
        for process in self:
            if process.state is State.RUNNING:
                with contextlib.suppress(Error):
                    process.kill(SIGKILL)

    async def none_starting(self) -> None:
        while self._starting:
            await self._changed

    async def none_running(self) -> None:
        while self._running:
            await self._changed

    def _notice(self) -> None:
        changed, self._changed = self._changed, self._container.host.loop.waiter()
        changed.set(None)


def read_pid(path: str) -> int:
    """The number in a pid file of runc. Raises Unknown."""
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError) as error:
        raise Unknown(f"failed to retrieve OCI runtime container pid: {error}") from error


def _parse(spec: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(spec, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise Unknown(f"process spec: {error}") from error


def _write(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)
