"""The parts of the daemon that tasks need, in this process, on directories of a test: no gRPC, no database.

Leaving a house is like killing the daemon: shims and containers live on, and the next house at its place finds them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import uvloop
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2
from pycontainerd.api.containerd.services.tasks import v1_pb2 as tasks_pb2
from pycontainerd.clock import SystemClock
from pycontainerd.errors import NotFound
from pycontainerd.events.exchange import Exchange
from pycontainerd.events.service import ShimEventsService
from pycontainerd.rpc.asyncio_driver import AsyncioDriver
from pycontainerd.rpc.call import NAMESPACE_HEADER, Call
from pycontainerd.rpc.service import ServiceTable
from pycontainerd.rpc.sockets import listen_unix
from pycontainerd.rpc.ttrpc.server import TtrpcServerConnection
from pycontainerd.runtime.background import Background
from pycontainerd.runtime.discovery import Discovery
from pycontainerd.runtime.executable import Surroundings
from pycontainerd.runtime.failures import Failures
from pycontainerd.runtime.manager import ShimManager, Timeouts
from pycontainerd.runtime.model import Payload
from pycontainerd.runtime.recovery import Recovery
from pycontainerd.runtime.spawned import OurShims
from pycontainerd.runtime.told import note_told
from pycontainerd.spawner.aio import Spawner
from pycontainerd.tasks.checkpointing import Checkpoints
from pycontainerd.tasks.model import ContainerView
from pycontainerd.tasks.service import TasksService
from pycontainerd.tasks.store import Tasks
from tests.harness import peers
from tests.harness.machine import MARK, SESSION

STOCK_RUNTIME: Final = str(peers.STOCK / "containerd-shim-runc-v2")
OUR_RUNTIME: Final = "io.containerd.runc.v2"


@dataclass
class Containers:
    """Records of containers; they outlive a house as a database would."""

    records: dict[tuple[str, str], ContainerView] = field(default_factory=dict)

    def container(self, namespace: str, id_: str) -> ContainerView:
        try:
            return self.records[namespace, id_]
        except KeyError:
            raise NotFound(f'container "{id_}" in namespace "{namespace}"') from None

    def require(self, namespace: str, id_: str) -> None:
        self.container(namespace, id_)

    def exists(self, namespace: str, id_: str) -> bool:
        return (namespace, id_) in self.records

    def has_sandbox(self, namespace: str, id_: str) -> bool:
        return False

    def runtime(self, namespace: str, id_: str) -> str:
        return self.container(namespace, id_).runtime


@dataclass
class Place:
    """What outlives a house: directories, records of containers, and the name of its namespace."""

    base: Path
    namespace: str
    runtime: str = STOCK_RUNTIME
    containers: Containers = field(default_factory=Containers)

    @property
    def address(self) -> str:
        return str(self.base / "c.sock")

    @property
    def state(self) -> Path:
        return self.base / "state"

    def bundle(self, id_: str) -> Path:
        return self.state / self.namespace / id_

    def shims(self) -> list[int]:
        """The pids of the shims of this place, by their titles: the environment that /proc shows is the spawner's."""
        mark = f"-namespace\0{self.namespace}\0".encode()
        found = [path for path in Path("/proc").glob("[0-9]*/cmdline") if mark in _content(path)]
        return [int(path.parent.name) for path in found]

    def rootfs(self) -> Path:
        """A root file system of static busybox."""
        root = self.base / "rootfs"
        for name in ("bin", "proc", "dev"):
            (root / name).mkdir(parents=True, exist_ok=True)
        busybox = root / "bin" / "busybox"
        if not busybox.exists():
            busybox.write_bytes(Path("/bin/busybox").read_bytes())
            busybox.chmod(0o755)
            for name in ("sh", "sleep", "true", "false", "echo", "cat"):
                (root / "bin" / name).symlink_to("busybox")
        return root

    def add(self, id_: str, *args: str, **changes: Any) -> None:
        """Records a container that runs *args*."""
        document = spec(self.namespace, id_, self.rootfs(), args or ("/bin/sleep", "1000")) | changes
        options = runc_pb2.Options(root=str(self.base / "runc")).SerializeToString()
        self.containers.records[self.namespace, id_] = ContainerView(
            id=id_,
            runtime=self.runtime,
            options=Payload("containerd.runc.v1.Options", options),
            spec=json.dumps(document).encode(),
            sandbox="",
        )


class NoContent:
    """A content store without blobs."""

    def has(self, namespace: str, digest: str) -> bool:
        return False

    def ingest(self, namespace: str, ref: str, *, lease: str | None) -> Any:
        raise AssertionError(f"{ref} is to be stored")


def refuse() -> Any:
    """There is no differ in a house."""
    raise AssertionError("a differ is needed")


Until = Callable[..., Awaitable[list[Any]]]


class House:
    """The services on a place, while they run. *since_start* is as of `events`, with all that was ever told here."""

    def __init__(self, place: Place, exchange: Exchange, tasks: Tasks, recovery: Recovery, since_start: Until) -> None:
        self.place = place
        self.exchange = exchange
        self.tasks = tasks
        self.recovery = recovery
        self.since_start = since_start
        self.service = TasksService(tasks, Checkpoints(tasks, NoContent(), refuse))

    @classmethod
    @asynccontextmanager
    async def open(cls, place: Place, *, timeouts: Timeouts | None = None) -> AsyncIterator[House]:
        """Builds the parts as their plugins do, finds the shims that are there, and serves events of shims."""
        exchange = Exchange(SystemClock())
        async with Background() as background, _listening(exchange) as since_start:
            about = _surroundings(place)
            spawner = Spawner(about.socket_dir)
            manager = ShimManager(
                about,
                discovery=Discovery([os.fspath(peers.OURS)], os.fspath(peers.STOCK)),
                ours=OurShims(about, spawner),
                exchange=exchange,
                spawn=background.spawn,
                clock=SystemClock(),
                timeouts=timeouts or Timeouts(),
                failures=Failures(str(place.base / "failures")),
            )
            tasks = Tasks(manager, place.containers, str(place.state), str(place.base / "root"), SystemClock().now_ns)
            recovery = Recovery(
                manager,
                str(place.state),
                str(place.base / "root"),
                has_container=place.containers.exists,
                runtime_of=place.containers.runtime,
            )
            house = cls(place, exchange, tasks, recovery, since_start)
            server = await _serve_events(place, exchange)
            background.spawn(note_told(exchange, manager.shims), name="note told exits")
            await recovery.run()
            tasks.recovered.set()
            try:
                yield house
            finally:
                await manager.close()
                await spawner.close()
                await server.close()

    async def __call__(self, method: str, **fields: Any) -> Any:
        """Calls a method of the tasks' service in the place's namespace."""
        request = REQUESTS[method](**fields)
        call = Call(path=f"/{method}", metadata=((NAMESPACE_HEADER, self.place.namespace),))
        answer: Awaitable[Message] = getattr(self.service, method)(request, call)
        return await answer

    def knows(self, id_: str) -> bool:
        """Whether there is a task of that id."""
        return self.tasks.manager.shims.find(self.place.namespace, id_) is not None

    def kill(self, pid: int) -> None:
        """kill -9 of a shim of this house."""
        assert str(self.place.namespace).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()
        os.kill(pid, signal.SIGKILL)

    def events(self) -> AbstractAsyncContextManager[Until]:
        """Yields a function that waits for events of tasks up to and with a topic, and returns them all."""
        return _listening(self.exchange)


@asynccontextmanager
async def _listening(exchange: Exchange) -> AsyncIterator[Until]:
    seen: list[Any] = []
    async with exchange.subscribe(['topic~="/tasks/.+"']) as envelopes:

        async def until(topic: str, *, id_: str = "") -> list[Any]:
            async with asyncio.timeout(60):
                async for envelope in envelopes:
                    event = envelope.event
                    assert event is not None
                    seen.append(event)
                    if envelope.topic == topic and id_ in ("", getattr(event, "id", "")):
                        break
            return seen

        yield until


REQUESTS: Final[dict[str, type[Message]]] = {
    "create": tasks_pb2.CreateTaskRequest,
    "start": tasks_pb2.StartRequest,
    "delete": tasks_pb2.DeleteTaskRequest,
    "delete_process": tasks_pb2.DeleteProcessRequest,
    "get": tasks_pb2.GetRequest,
    "list": tasks_pb2.ListTasksRequest,
    "kill": tasks_pb2.KillRequest,
    "exec": tasks_pb2.ExecProcessRequest,
    "resize_pty": tasks_pb2.ResizePtyRequest,
    "close_io": tasks_pb2.CloseIORequest,
    "pause": tasks_pb2.PauseTaskRequest,
    "resume": tasks_pb2.ResumeTaskRequest,
    "list_pids": tasks_pb2.ListPidsRequest,
    "checkpoint": tasks_pb2.CheckpointTaskRequest,
    "update": tasks_pb2.UpdateTaskRequest,
    "metrics": tasks_pb2.MetricsRequest,
    "wait": tasks_pb2.WaitRequest,
}


def run(story: Coroutine[Any, Any, None]) -> None:
    """Runs *story* on the loop that the daemon has."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(story)


def process(*args: str) -> AnyMessage:
    """The spec of an exec."""
    document = {"args": args, "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}}
    return AnyMessage(
        type_url="types.containerd.io/opencontainers/runtime-spec/1/Process", value=json.dumps(document).encode()
    )


def spec(namespace: str, id_: str, rootfs: Path, args: Sequence[str]) -> dict[str, Any]:
    """A runtime spec that runs *args* as root in namespaces of its own."""
    namespaces = ("pid", "mount", "ipc", "uts", "network")
    return {
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": list(args), "env": ["PATH=/bin"], "cwd": "/"},
        "root": {"path": str(rootfs)},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {
            "cgroupsPath": f"/{namespace}/{id_}",
            "namespaces": [{"type": name} for name in namespaces],
        },
    }


def mount(**fields: Any) -> types_pb2.Mount:
    return types_pb2.Mount(**fields)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # it ended


def _surroundings(place: Place) -> Surroundings:
    return Surroundings(
        address=place.address,
        ttrpc_address=f"{place.address}.ttrpc",
        publish_binary=str(peers.OURS / "containerd"),
        version="test",
        debug=False,
        socket_dir=str(place.base / "s"),
        environment={"PATH": peers.path_with(peers.STOCK), MARK: SESSION},
    )


async def _serve_events(place: Place, exchange: Exchange) -> Any:
    driver = AsyncioDriver()
    listener = listen_unix(f"{place.address}.ttrpc")
    table = ServiceTable([ShimEventsService(exchange)])
    return await driver.serve_unix(listener, lambda: TtrpcServerConnection(table, driver))
