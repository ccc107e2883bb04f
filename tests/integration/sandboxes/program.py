"""A shim for tests that serves the sandbox API beside the task API, in any protocol, version and form of bootstrap.

What it is follows from its name: `containerd-shim-<protocol><version>-<form>`, as `containerd-shim-grpc3-json`. Its
processes are plain ones of the host, its sandbox is a `sleep`. What it was asked lies in `asked` of its directory: a
line of JSON for each call, and how it was started in `started`.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final

import uvloop
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.runtime.bootstrap import v1_pb2 as bootstrap_pb2
from pycontainerd.api.containerd.runtime.sandbox import v1_pb2 as sandbox_pb2
from pycontainerd.api.containerd.task import v2_pb2, v3_pb2
from pycontainerd.api.containerd.v1 import types_pb2 as process_pb2
from pycontainerd.errors import Error, FailedPrecondition, NotFound, Unavailable
from pycontainerd.rpc.asyncio_driver import AsyncioDriver
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.driver import Connection
from pycontainerd.rpc.grpc.server import GrpcConnection
from pycontainerd.rpc.service import Service, ServiceTable
from pycontainerd.rpc.ttrpc.server import TtrpcServerConnection

CREATED_S: Final = 1_700_000_000
"""When every sandbox was created, in seconds since 1970: a time that tests can know."""

EXITED_S: Final = CREATED_S + 100
FAILURES: Final[dict[str, Error]] = {
    "notfound": NotFound("no such thing"),
    "unavailable": Unavailable("not now"),
    "refused": FailedPrecondition("not like this"),
}
_KIND: Final = re.compile(r"containerd-shim-(?P<protocol>[a-z]+)(?P<version>\d)-(?P<form>[a-z]+)$")


class Record:
    """What was asked of the shim of one directory, and what it refuses: by its file `refuse`, or its sandbox's id."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def note(self, call: Call, request: Any) -> None:
        """Notes a call. Raises the error that the test wants for it."""
        method = call.path.rpartition("/")[2]
        line = {"method": method, "pid": os.getpid(), **_fields(request)}
        with (self._directory / "asked").open("a") as file:
            file.write(f"{json.dumps(line, sort_keys=True)}\n")
        refused = self._directory / "refuse"
        failure = json.loads(refused.read_text()).get(method, "") if refused.exists() else ""
        for name, error in FAILURES.items():
            if name == failure or f"{method}-{name}" == line.get("sandboxId"):
                raise error


def _fields(request: Any) -> dict[str, Any]:
    """The fields of a message; its options, which may be of any type, as text."""
    plain = type(request).FromString(request.SerializeToString())
    options = {}
    if "options" in plain.DESCRIPTOR.fields_by_name and plain.HasField("options"):
        options = {"options": f"{plain.options.type_url} {plain.options.value.hex()}"}
        plain.ClearField("options")
    return {**MessageToDict(plain), **options}


def sleeping() -> subprocess.Popen[bytes]:
    """A process that does nothing until it is killed."""
    return subprocess.Popen(["/bin/sleep", "1000"], stdin=subprocess.DEVNULL)


class SandboxService(Service):
    """The sandbox of this shim."""

    contract = sandbox_pb2.DESCRIPTOR.services_by_name["Sandbox"]

    def __init__(self, record: Record, end: Callable[[], None]) -> None:
        self._record = record
        self._end = end
        self._process: subprocess.Popen[bytes] | None = None

    async def create_sandbox(self, request: Any, call: Call) -> Message:
        self._record.note(call, request)
        return sandbox_pb2.CreateSandboxResponse()

    async def start_sandbox(self, request: Any, call: Call) -> Message:
        self._record.note(call, request)
        self._process = sleeping()
        response = sandbox_pb2.StartSandboxResponse(pid=self._process.pid, created_at=Timestamp(seconds=CREATED_S))
        response.spec.type_url, response.spec.value = "test/spec", b"{}"
        return response

    async def platform(self, request: Any, call: Call) -> Message:
        self._record.note(call, request)
        response = sandbox_pb2.PlatformResponse()
        response.platform.os, response.platform.architecture = "linux", "amd64"
        return response

    async def stop_sandbox(self, request: Any, call: Call) -> Message:
        self._record.note(call, request)
        if self._process is not None:
            self._process.kill()
        return sandbox_pb2.StopSandboxResponse()

    async def wait_sandbox(self, request: Any, call: Call) -> Message:
        self._record.note(call, request)
        if self._process is not None:
            await asyncio.to_thread(self._process.wait)
        return sandbox_pb2.WaitSandboxResponse(exit_status=7, exited_at=Timestamp(seconds=EXITED_S))

    async def sandbox_status(self, request: Any, call: Call) -> Message:
        self._record.note(call, request)
        running = self._process is not None and self._process.poll() is None
        response = sandbox_pb2.SandboxStatusResponse(
            sandbox_id=request.sandbox_id,
            pid=self._process.pid if self._process is not None else 0,
            state="SANDBOX_READY" if running else "SANDBOX_NOTREADY",
            info={"kind": "test"} if request.verbose else {},
            created_at=Timestamp(seconds=CREATED_S),
        )
        if request.verbose:
            response.extra.type_url, response.extra.value = "test/extra", b"extra"
        return response

    async def ping_sandbox(self, request: Any, call: Call) -> Message:
        self._record.note(call, request)
        return sandbox_pb2.PingResponse()

    async def sandbox_metrics(self, request: Any, call: Call) -> Message:
        self._record.note(call, request)
        response = sandbox_pb2.SandboxMetricsResponse()
        response.metrics.id = request.sandbox_id
        response.metrics.timestamp.seconds = CREATED_S
        response.metrics.data.type_url, response.metrics.data.value = "test/metrics", b"42"
        return response

    async def shutdown_sandbox(self, request: Any, call: Call) -> Message:
        self._record.note(call, request)
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._end()
        return sandbox_pb2.ShutdownSandboxResponse()


class Task:
    """A process of the host that stands for a container."""

    def __init__(self, bundle: str) -> None:
        self.bundle = bundle
        self.process = sleeping()
        self.started = False

    @property
    def status(self) -> Any:
        if self.process.poll() is not None:
            return process_pb2.STOPPED
        return process_pb2.RUNNING if self.started else process_pb2.CREATED

    @property
    def exit_status(self) -> int:
        code = self.process.poll()
        return 0 if code is None else code if code >= 0 else 128 - code


class _TaskService(Service):
    """The tasks of this shim."""

    messages: ClassVar[Any]

    def __init__(self, record: Record, end: Callable[[], None]) -> None:
        self._record = record
        self._end = end
        self._tasks: dict[str, Task] = {}

    def _find(self, id_: str) -> Task:
        try:
            return self._tasks[id_]
        except KeyError:
            raise NotFound("container not created") from None

    async def connect(self, request: Any, call: Call) -> Any:
        self._record.note(call, request)
        task = self._tasks.get(request.id)
        pid = task.process.pid if task is not None else 0
        return self.messages.ConnectResponse(shim_pid=os.getpid(), task_pid=pid)

    async def create(self, request: Any, call: Call) -> Any:
        self._record.note(call, request)
        task = self._tasks[request.id] = Task(request.bundle)
        return self.messages.CreateTaskResponse(pid=task.process.pid)

    async def start(self, request: Any, call: Call) -> Any:
        task = self._find(request.id)
        task.started = True
        return self.messages.StartResponse(pid=task.process.pid)

    async def state(self, request: Any, call: Call) -> Any:
        task = self._find(request.id)
        response = self.messages.StateResponse(
            id=request.id, bundle=task.bundle, pid=task.process.pid, exit_status=task.exit_status
        )
        response.status = task.status
        return response

    async def pids(self, request: Any, call: Call) -> Any:
        response = self.messages.PidsResponse()
        response.processes.add(pid=self._find(request.id).process.pid)
        return response

    async def kill(self, request: Any, call: Call) -> Any:
        self._find(request.id).process.send_signal(request.signal)
        return Empty()

    async def wait(self, request: Any, call: Call) -> Any:
        task = self._find(request.id)
        await asyncio.to_thread(task.process.wait)
        return self.messages.WaitResponse(exit_status=task.exit_status, exited_at=Timestamp(seconds=EXITED_S))

    async def delete(self, request: Any, call: Call) -> Any:
        self._record.note(call, request)
        task = self._find(request.id)
        if task.started and task.process.poll() is None:
            raise FailedPrecondition("cannot delete a running process")
        task.process.kill()
        task.process.wait()
        del self._tasks[request.id]
        return self.messages.DeleteResponse(
            pid=task.process.pid, exit_status=task.exit_status, exited_at=Timestamp(seconds=EXITED_S)
        )

    async def shutdown(self, request: Any, call: Call) -> Any:
        self._record.note(call, request)
        if not self._tasks:
            self._end()
        return Empty()


class TaskServiceV2(_TaskService):
    contract = v2_pb2.DESCRIPTOR.services_by_name["Task"]
    messages: ClassVar[Any] = v2_pb2


class TaskServiceV3(_TaskService):
    contract = v3_pb2.DESCRIPTOR.services_by_name["Task"]
    messages: ClassVar[Any] = v3_pb2


async def serve(listening: socket.socket, directory: Path, protocol: str, version: int) -> None:
    """Serves until a shutdown."""
    over = asyncio.Event()
    record = Record(directory)
    tasks = TaskServiceV3 if version >= 3 else TaskServiceV2
    table = ServiceTable([SandboxService(record, over.set), tasks(record, over.set)])
    driver = AsyncioDriver()

    def connection() -> Connection:
        return GrpcConnection(table, driver) if protocol == "grpc" else TtrpcServerConnection(table, driver)

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    server = await driver.serve_unix(listening, connection)
    await over.wait()
    await asyncio.sleep(0.05)  # the answer to the shutdown is on its way
    await server.close()


def start(flags: dict[str, str], protocol: str, version: int, form: str) -> None:
    """Leaves a process behind that serves, or finds that of the group; prints where."""
    group = os.environ.get("TEST_SHIM_GROUP", flags["-id"])
    path = Path(os.environ["TEST_SHIM_SOCKETS"]) / f"{flags['-namespace']}-{group}"
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        served = probe.connect_ex(str(path)) == 0
    if not served:
        path.unlink(missing_ok=True)
        listening.bind(str(path))
        listening.listen()
        if os.fork() == 0:
            os.setsid()
            null = os.open("/dev/null", os.O_RDWR)
            for number in range(3):
                os.dup2(null, number)
            uvloop.run(serve(listening, Path.cwd(), protocol, version))
            path.unlink(missing_ok=True)
            os._exit(0)
    # Stock dials the address of a gRPC shim as the path of a socket, whatever its scheme.
    address = str(path) if protocol == "grpc" else f"unix://{path}"
    result = bootstrap_pb2.BootstrapResult(version=version, address=address, protocol=protocol)
    match form:
        case "proto":
            sys.stdout.buffer.write(result.SerializeToString())
        case "json":
            print(json.dumps(MessageToDict(result)))
        case "nothing":
            pass
        case "what":
            print(json.dumps({"version": version, "address": address, "protocol": "smoke"}))
        case _:
            print(address)


ENVIRONMENT: Final = ("GOMAXPROCS", "MAX_SHIM_VERSION", "TTRPC_ADDRESS", "GRPC_ADDRESS", "NAMESPACE")
"""What a daemon gives to shims besides its own."""


def note_start() -> None:
    """Notes how it was started: arguments, environment, what came on stdin, where."""
    told = sys.stdin.buffer.read()
    params = bootstrap_pb2.BootstrapParams.FromString(told)
    for extension in params.extensions:
        extension.value.type_url = f"{extension.value.type_url} {extension.value.value.hex()}"
    known = [f"{extension.value.type_url}" for extension in params.extensions]
    del params.extensions[:]
    started = {
        "arguments": sys.argv,
        "environment": {name: os.environ.get(name) for name in ENVIRONMENT},
        "params": {**MessageToDict(params), "extensions": known},
        "directory": os.getcwd(),
        "own group": os.getpgrp() == os.getpid(),
    }
    Path("started").write_text(json.dumps(started, sort_keys=True))


def describe() -> None:
    """`-info`: says what it was told."""
    info = types_pb2.RuntimeInfo(name="test", annotations={"containerd.io/runtime-allow-mounts": "test"})
    info.version.version = "1"
    info.options.ParseFromString(sys.stdin.buffer.read())
    sys.stdout.buffer.write(info.SerializeToString())


def main() -> None:
    """Does what a daemon asks of a shim's executable."""
    found = _KIND.search(sys.argv[0])
    assert found is not None
    if sys.argv[1:] == ["-info"]:
        describe()
        return
    values = iter(sys.argv[1:-1])
    flags = {flag: next(values) for flag in values if flag != "-debug"}
    match sys.argv[-1]:
        case "start" if found["form"] == "fails":
            print("said to stdout")
            sys.exit("what went wrong")
        case "start":
            note_start()
            start(flags, found["protocol"], int(found["version"]), found["form"])
        case "delete":
            response = v3_pb2.DeleteResponse(pid=0, exit_status=137)
            response.exited_at.seconds = int(time.time())
            sys.stdout.buffer.write(response.SerializeToString())
        case other:
            sys.exit(f"what is {other}?")
