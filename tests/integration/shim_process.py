"""A shim under test, ours or the stock one, without a daemon: its executable is started as a daemon does, its task API
is called directly, and its events arrive here.

    with ShimProcess.start(executable, scratch) as shim:
        shim.call("create", task.CreateTaskRequest(id=shim.id, bundle=str(shim.bundle)))
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from pycontainerd.api.containerd import events_pb2
from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2
from pycontainerd.api.containerd.runtime.bootstrap import v1_pb2 as bootstrap_pb2
from pycontainerd.api.containerd.services.events.ttrpc import v1_pb2 as forward_pb2
from pycontainerd.api.containerd.task import v2_pb2
from pycontainerd.api.containerd.task import v3_pb2 as task
from pycontainerd.errors import Error
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service, ServiceTable, methods_of
from pycontainerd.rpc.status import to_status
from pycontainerd.rpc.ttrpc.client import TtrpcClientConnection
from pycontainerd.rpc.ttrpc.server import TtrpcServerConnection
from pycontainerd.shim.loop import Loop
from pycontainerd.shim.transport import Listener, connect_unix
from tests.harness import peers
from tests.harness.machine import MARK, SESSION
from tests.harness.spawners import end_spawners

_numbers = itertools.count(1)

OURS: Final = "ours"
STOCK: Final = "stock"
SPEC_URL: Final = "types.containerd.io/opencontainers/runtime-spec/1/"
_METHODS: Final = {
    2: methods_of(v2_pb2.DESCRIPTOR.services_by_name["Task"]),
    3: methods_of(task.DESCRIPTOR.services_by_name["Task"]),
}


def executable(kind: str) -> Path:
    """The shim's program of that kind."""
    name = "containerd-shim-runc-v2"
    return peers.ours(name) if kind == OURS else peers.stock(name)


def make_rootfs(directory: Path) -> Path:
    """A root file system of Debian's static busybox."""
    rootfs = directory / "rootfs"
    for name in ("bin", "proc", "sys", "dev", "tmp", "etc"):
        (rootfs / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", rootfs / "bin/busybox")
    for name in ("sh", "sleep", "true", "cat", "echo", "dd", "stty", "kill", "env", "seq", "head", "sync"):
        (rootfs / "bin" / name).symlink_to("busybox")
    return rootfs


def spec(rootfs: Path, group: str, *arguments: str, terminal: bool = False, own_pids: bool = True) -> dict[str, Any]:
    """An OCI spec that runs *arguments*."""
    namespaces = [{"type": name} for name in ("ipc", "uts", "mount", "network")]
    if own_pids:
        namespaces.append({"type": "pid"})
    capabilities = ["CAP_KILL", "CAP_CHOWN", "CAP_SETUID", "CAP_SETGID"]
    return {
        "ociVersion": "1.1.0",
        "process": process(*arguments, terminal=terminal)
        | {"capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities}},
        "root": {"path": str(rootfs)},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
            },
        ],
        "linux": {"namespaces": namespaces, "cgroupsPath": group},
    }


def process(*arguments: str, terminal: bool = False) -> dict[str, Any]:
    """An OCI process object."""
    return {
        "terminal": terminal,
        "user": {"uid": 0, "gid": 0},
        "args": list(arguments),
        "env": ["PATH=/bin", "TERM=xterm"],
        "cwd": "/",
    }


class _Events(Service):
    contract = forward_pb2.DESCRIPTOR.services_by_name["Events"]

    def __init__(self, sink: Callable[[Any], None]) -> None:
        self._sink = sink

    async def forward(self, request: Any, call: Call) -> Empty:
        self._sink(request.envelope)
        return Empty()


@dataclass
class ShimProcess:
    """One started shim and the conversation with it. *outcome* tells an answer or an error as comparable text."""

    kind: str
    base: Path
    id: str
    namespace: str
    rootfs: Path
    loop: Loop
    errors: list[BaseException]
    events: list[tuple[str, Message]] = field(default_factory=list)
    client: TtrpcClientConnection | None = None
    socket_path: Path = Path()
    version: int = 3
    listening: socket.socket | None = None
    logs: dict[str, int] = field(default_factory=dict)

    @classmethod
    @contextlib.contextmanager
    def start(
        cls,
        kind: str,
        base: Path,
        *arguments: str,
        id_: str = "c1",
        terminal: bool = False,
        own_pids: bool = True,
        annotations: dict[str, str] | None = None,
        edit: Callable[[dict[str, Any]], None] = lambda value: None,
    ) -> Iterator[ShimProcess]:
        """A shim for a bundle that is to run *arguments*; at the end shim and container are gone."""
        errors: list[BaseException] = []
        loop = Loop(lambda name, error: errors.append(error))
        namespace = f"{SESSION}-{next(_numbers)}-{kind}"
        base = base / kind
        base.mkdir()
        shim = cls(kind, base, id_, namespace, make_rootfs(base), loop, errors)
        value = spec(shim.rootfs, f"/{namespace}/{id_}", *arguments, terminal=terminal, own_pids=own_pids)
        value["annotations"] = annotations or {}
        edit(value)
        shim.listen()
        try:
            shim.make_bundle(id_, value)
            shim.socket_path = Path(shim.run_start(id_).removeprefix("unix://"))
            yield shim
        finally:
            shim.clear()
            shim.stop_listening()
            for log in shim.logs.values():
                os.close(log)

    @property
    def bundle(self) -> Path:
        return self.bundle_of(self.id)

    def bundle_of(self, id_: str) -> Path:
        return self.base / "state" / self.namespace / id_

    def listen(self) -> None:
        """Makes the socket where events arrive: it is there as long as a daemon would be."""
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listening.bind(str(self.base / "events"))
        self.listening.listen(16)

    def stop_listening(self) -> None:
        """The daemon is gone, its socket with it."""
        if self.listening is not None:
            self.listening.close()
            self.listening = None
            (self.base / "events").unlink()

    def log_of(self, id_: str) -> str:
        """What the shim has logged so far."""
        text = b""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.logs[id_], 1 << 16):
                text += data
        return text.decode()

    def make_bundle(self, id_: str, value: dict[str, Any]) -> None:
        """Makes what a daemon makes."""
        bundle = self.bundle_of(id_)
        work = self.base / "work" / self.namespace / id_
        bundle.mkdir(parents=True)
        work.mkdir(parents=True)
        (bundle / "rootfs").mkdir()
        (bundle / "work").symlink_to(work)
        (bundle / "config.json").write_text(json.dumps(value))
        os.mkfifo(bundle / "log", 0o700)
        self.logs[id_] = os.open(bundle / "log", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def spec_of(self, id_: str) -> dict[str, Any]:
        value: dict[str, Any] = json.loads((self.bundle_of(id_) / "config.json").read_text())
        return value

    def environment(self) -> dict[str, str]:
        return {
            "PATH": peers.path_with(peers.STOCK),
            "TTRPC_ADDRESS": str(self.base / "events"),
            "GRPC_ADDRESS": str(self.base / "grpc"),
            "NAMESPACE": self.namespace,
            "MAX_SHIM_VERSION": "2",
            MARK: SESSION,
        }

    def run_executable(self, id_: str, *action: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Runs the shim's program as a daemon does, in the bundle."""
        flags = ["-namespace", self.namespace, "-address", str(self.base / "grpc"), "-publish-binary", "/bin/true"]
        return subprocess.run(
            [str(executable(self.kind)), *flags, "-id", id_, *action],
            input=stdin,
            capture_output=True,
            env=self.environment(),
            cwd=self.bundle_of(id_),
            check=False,
            timeout=60,
        )

    def params(self, id_: str) -> bytes:
        message = bootstrap_pb2.BootstrapParams(
            instance_id=id_,
            namespace=self.namespace,
            containerd_ttrpc_address=str(self.base / "events"),
            containerd_grpc_address=str(self.base / "grpc"),
            containerd_binary="/bin/true",
            socket_dir=str(self.base / "s"),
        )
        options = self.options()
        message.extensions.add().value.Pack(options, type_url_prefix="")
        message.extensions[0].value.type_url = options.DESCRIPTOR.full_name
        return message.SerializeToString()

    def options(self) -> runc_pb2.Options:
        return runc_pb2.Options(root=str(self.base / "runc"))

    def run_start(self, id_: str) -> str:
        """`start`: the address that it answers."""
        done = self.run_executable(id_, "start", stdin=self.params(id_))
        assert (done.returncode, done.stderr) == (0, b""), done
        result = bootstrap_pb2.BootstrapResult.FromString(done.stdout)
        assert (result.version, result.protocol) == (3, "ttrpc")
        return result.address

    # --- calls

    def run(self, body: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs *body* in a loop of its own, with the connection made and events coming in."""
        self.loop = Loop(lambda name, error: self.errors.append(error))
        table = ServiceTable([_Events(self._event)])
        served: list[TtrpcServerConnection] = []

        def serve() -> TtrpcServerConnection:
            served.append(TtrpcServerConnection(table, self.loop))
            return served[-1]

        listener = None
        if self.listening is not None:
            listener = Listener(self.loop, self.listening.dup(), serve)

        async def main() -> None:
            self.client = TtrpcClientConnection(self.loop)
            try:
                connect_unix(self.loop, str(self.socket_path), self.client)
                await body()
            finally:
                await self.client.close()
                if listener is not None:
                    listener.close()
                for connection in served:
                    connection.abort()

        self.loop.run(main())
        if self.errors:
            raise self.errors.pop()

    def _event(self, envelope: Any) -> None:
        kinds = {message.full_name: message for message in events_pb2.DESCRIPTOR.message_types_by_name.values()}
        assert envelope.namespace == self.namespace
        kind = kinds[envelope.event.type_url]
        message = getattr(events_pb2, kind.name).FromString(envelope.event.value)
        self.events.append((envelope.topic, message))

    async def call(self, method: str, request: Message, *, timeout_s: float = 60) -> Any:
        """The answer to a call. Raises its error."""
        assert self.client is not None
        methods = _METHODS[self.version]
        if self.version == 2:
            request = methods[method].request.FromString(request.SerializeToString())
        namespace = (("containerd-namespace-ttrpc", self.namespace),)
        return await self.client.unary(methods[method], request, metadata=namespace, timeout_s=timeout_s)

    async def outcome(self, method: str, request: Message, *, timeout_s: float = 60) -> tuple[str, str]:
        """What a call came to, as comparable text: code name and message, or OK and the answer."""
        try:
            answer = await self.call(method, request, timeout_s=timeout_s)
        except Error as error:
            status = to_status(error)
            return f"code {int(status.code)}", status.message
        return "OK", str(answer)

    def create_request(self, id_: str = "", **fields: Any) -> Message:
        id_ = id_ or self.id
        request = task.CreateTaskRequest(id=id_, bundle=str(self.bundle_of(id_)), **fields)
        options = self.options()
        request.options.type_url = options.DESCRIPTOR.full_name
        request.options.value = options.SerializeToString()
        return request

    async def create(self, **fields: Any) -> int:
        return int((await self.call("create", self.create_request(**fields))).pid)

    async def begin(self, exec_id: str = "") -> int:
        return int((await self.call("start", task.StartRequest(id=self.id, exec_id=exec_id))).pid)

    async def add_exec(self, exec_id: str, *arguments: str, **fields: Any) -> None:
        await self.call("exec", self.exec_request(exec_id, *arguments, **fields))

    def exec_request(self, exec_id: str, *arguments: str, **fields: Any) -> task.ExecProcessRequest:
        request = task.ExecProcessRequest(id=self.id, exec_id=exec_id, **fields)
        request.spec.type_url = f"{SPEC_URL}Process"
        request.spec.value = json.dumps(process(*arguments, terminal=fields.get("terminal", False))).encode()
        return request

    async def kill(self, signal: int = 9, exec_id: str = "", **fields: Any) -> None:
        await self.call("kill", task.KillRequest(id=self.id, exec_id=exec_id, signal=signal, **fields))

    async def wait(self, exec_id: str = "") -> int:
        return int((await self.call("wait", task.WaitRequest(id=self.id, exec_id=exec_id))).exit_status)

    async def delete(self, exec_id: str = "") -> Any:
        return await self.call("delete", task.DeleteRequest(id=self.id, exec_id=exec_id))

    async def event(self, topic: str, count: int = 1) -> Message:
        """Waits until *count* events of *topic* have come: the last of them."""
        while len(found := [event for each, event in self.events if each == topic]) < count:
            await self.loop.sleep(0.005)
        return found[count - 1]

    def pid(self) -> int:
        """The process that serves the socket."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(str(self.socket_path))

        async def ask() -> None:
            found.append((await self.call("connect", task.ConnectRequest(id=self.id))).shim_pid)

        found: list[int] = []
        self.run(ask)
        return found[0]

    def clear(self) -> None:
        """Ends container and shim, by the way that always works."""
        bundles = list((self.base / "state" / self.namespace).iterdir())
        for bundle in bundles:
            self.run_executable(bundle.name, "-bundle", str(bundle), "delete")

        async def end() -> None:
            for bundle in bundles:
                with contextlib.suppress(Error):
                    await self.call("delete", task.DeleteRequest(id=bundle.name))
            with contextlib.suppress(Error):
                await self.call("shutdown", task.ShutdownRequest(id=self.id))
            assert self.client is not None
            await self.client.wait_closed()

        with contextlib.suppress(ConnectionRefusedError, FileNotFoundError):
            self.run(end)
        end_spawners(self.base / "s")
        for hierarchy in Path("/sys/fs/cgroup").iterdir():
            with contextlib.suppress(FileNotFoundError):
                (hierarchy / self.namespace).rmdir()
