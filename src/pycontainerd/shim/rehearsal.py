"""A whole life of a shim, played through in the spawner before any shim is forked from it.

Afterwards every module is loaded, every message class is made and every byte code has settled into the form in which
the interpreter keeps it: what a shim does later changes few of the pages that it shares with the others. The daemon,
the runtime and the container are played by ourselves; nothing but a directory of this process is touched.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Sequence
from typing import Any, Final

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2
from pycontainerd.api.containerd.services.events.ttrpc import v1_pb2 as events_pb2
from pycontainerd.api.containerd.task import v3_pb2 as task_pb2
from pycontainerd.errors import Error
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service, ServiceTable, methods_of
from pycontainerd.rpc.ttrpc.client import TtrpcClientConnection
from pycontainerd.rpc.ttrpc.server import TtrpcServerConnection
from pycontainerd.shim import address, exec_fifo, exit_record, removal
from pycontainerd.shim.exec_fifo import KnownRuntimes
from pycontainerd.shim.execs import read_pid
from pycontainerd.shim.journal import Journal
from pycontainerd.shim.loop import Loop
from pycontainerd.shim.messages import ShimRequest, decode, encode
from pycontainerd.shim.reaper import Ended
from pycontainerd.shim.runc import Runc, Stdio
from pycontainerd.shim.runc_root import state_directory
from pycontainerd.shim.server import SIGNALS, Prepared, Shim
from pycontainerd.shim.spawn import Tie
from pycontainerd.shim.transport import Listener, connect_unix
from pycontainerd.system.detached import vanishing_directory
from pycontainerd.system.prctl import set_parent_death_signal

PLAYS: Final = 10
"""More than the eight calls after which the interpreter specializes a function."""

ROUNDS: Final = 2
"""Containers in one play."""

_PROGRAM: Final = "true"

_METHODS: Final = methods_of(task_pb2.DESCRIPTOR.services_by_name["Task"])
_SPEC: Final = '{"linux":{"namespaces":[{"type":"pid"}]},"annotations":{}}'
_PROCESS: Final = b'{"args":["true"],"cwd":"/"}'


def rehearse(plays: int = PLAYS, rounds: int = ROUNDS, tie: Tie = ()) -> None:
    """Plays it through *plays* times with *rounds* containers each. Raises what goes wrong."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        for _ in range(plays):
            _play(rounds, tie)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _play(rounds: int, tie: Tie) -> None:
    failures: list[BaseException] = []
    loop = Loop(lambda name, error: failures.append(error))
    with vanishing_directory() as directory:
        loop.run(_Play(loop, directory).run(rounds, Prepared(known=KnownRuntimes.of(_PROGRAM), tie=tie)))
    if failures:
        raise failures[0]


class _PlayedRunc(Runc):
    """A runtime whose containers are forks of ourselves that sleep, and whose program is true(1)."""

    async def execute(self, arguments: Sequence[str], stdio: Stdio) -> tuple[Ended, str]:
        match arguments[0]:
            case "create":
                _write(arguments[arguments.index("--pid-file") + 1], str(self._created(arguments[-1])))
                return await super().execute(arguments, stdio)
            case "exec":
                _write(arguments[arguments.index("--pid-file") + 1], str(sleeper()))
            case "kill":
                with contextlib.suppress(ProcessLookupError):
                    os.kill(read_pid(os.path.join(self.bundle, "init.pid")), int(arguments[-1]))
            case "ps":
                os.write(stdio.stdout, b"[1]")
            case "pause":
                _write(self.log, '{"level":"error","msg":"played"}\n')
                return Ended(0, 1, 0), self._last_error(0)
            case _:
                pass
        return Ended(0, 0, 0), ""

    def _created(self, id_: str) -> int:
        """The pid of an init that waits for its start; what runc keeps of it is there."""
        directory = state_directory(self.root, id_)
        os.makedirs(directory)
        fifo = os.path.join(directory, exec_fifo.NAME)
        os.mkfifo(fifo)
        pid = sleeper(fifo)
        _write(os.path.join(directory, removal.STATE), f'{{"init_process_pid":{pid},"cgroup_paths":{{}}}}')
        return pid


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def sleeper(fifo: str = "") -> int:
    """The pid of a new child that stands for the first process of a container; it dies with its parent.

    With a *fifo* it says there that it has been started, as soon as someone reads it.
    """
    parent = os.getpid()
    pid = os.fork()
    if not pid:
        set_parent_death_signal(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # the parent died before the kernel was told
        signal.set_wakeup_fd(-1)
        if fifo:
            os.write(os.open(fifo, os.O_WRONLY), b"0")
        while True:
            signal.pause()
    return pid


class _PlayedDaemon(Service):
    """Takes events."""

    contract = events_pb2.DESCRIPTOR.services_by_name["Events"]

    async def forward(self, request: Any, call: Call) -> Empty:
        return Empty()


class _Play:
    def __init__(self, loop: Loop, directory: str) -> None:
        self._loop = loop
        self._directory = directory
        self._client = TtrpcClientConnection(loop)

    async def run(self, rounds: int, prepared: Prepared) -> None:
        daemon = self._listen("daemon")
        table = ServiceTable([_PlayedDaemon()])
        listener = Listener(self._loop, daemon, lambda: TtrpcServerConnection(table, self._loop))
        listening = self._listen("shim")
        request = decode(encode(self._request()))
        log = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        journal = Journal(log, debug=True, fields={"id": "c"})
        journal.info("rehearsal", at=time.time_ns())
        shim = Shim(self._loop, journal, request, dict(os.environ), prepared, make_runc=_PlayedRunc)
        serving = self._loop.spawn(shim.run(listening), name="shim")
        connect_unix(self._loop, os.path.join(self._directory, "shim"), self._client)
        try:
            for number in range(rounds):
                await self._round(f"c{number}")
            os.kill(os.getpid(), signal.SIGUSR1)
            await self._call("shutdown", task_pb2.ShutdownRequest())
            await serving.ended
        finally:
            listener.close()
            await self._client.close()
            os.close(log)

    def _request(self) -> ShimRequest:
        daemon = os.path.join(self._directory, "daemon")
        return ShimRequest(
            namespace="rehearsal",
            id="c",
            address=daemon,
            ttrpc_address=daemon,
            bundle=self._directory,
            socket_path=os.path.join(self._directory, "shim"),
        )

    def _listen(self, name: str) -> socket.socket:
        listening = address.listen(os.path.join(self._directory, name))
        assert listening is not None  # noqa: S101 - nobody else knows this directory
        return listening

    async def _call(self, name: str, request: Message) -> Any:
        return await self._client.unary(_METHODS[name], request, timeout_s=60)

    async def _refused(self, name: str, request: Message) -> None:
        with contextlib.suppress(Error):
            await self._call(name, request)

    async def _round(self, id_: str) -> None:
        bundle = os.path.join(self._directory, id_)
        os.mkdir(bundle)
        _write(os.path.join(bundle, "config.json"), _SPEC)
        for fifo in ("in", "out", "err"):
            os.mkfifo(os.path.join(bundle, fifo))
        await self._refused("state", task_pb2.StateRequest(id=id_))
        create = task_pb2.CreateTaskRequest(id=id_, bundle=bundle)
        create.options.type_url = runc_pb2.Options.DESCRIPTOR.full_name
        options = runc_pb2.Options(root=os.path.join(self._directory, "runc"), binary_name=_PROGRAM)
        create.options.value = options.SerializeToString()
        create.rootfs.add(type="bind", source="/nowhere/at/all", options=["rbind", "ro"])
        await self._refused("create", create)
        del create.rootfs[:]
        create.stdin, create.stdout, create.stderr = (os.path.join(bundle, name) for name in ("in", "out", "err"))
        await self._call("create", create)
        await self._call("start", task_pb2.StartRequest(id=id_))
        await self._while_running(id_, bundle)
        await self._call("kill", task_pb2.KillRequest(id=id_, signal=signal.SIGKILL))
        await self._call("wait", task_pb2.WaitRequest(id=id_))
        await self._call("delete", task_pb2.DeleteRequest(id=id_))
        exit_record.read(bundle)

    async def _while_running(self, id_: str, bundle: str) -> None:
        added = task_pb2.ExecProcessRequest(id=id_, exec_id="e", stdout=f"cri-log://{bundle}/log")
        added.spec.value = _PROCESS
        await self._call("exec", added)
        await self._call("start", task_pb2.StartRequest(id=id_, exec_id="e"))
        for _ in range(4):
            await self._call("state", task_pb2.StateRequest(id=id_))
            await self._call("connect", task_pb2.ConnectRequest(id=id_))
            await self._call("stats", task_pb2.StatsRequest(id=id_))
            await self._call("pids", task_pb2.PidsRequest(id=id_))
        await self._refused("pause", task_pb2.PauseRequest(id=id_))
        await self._refused("resume", task_pb2.ResumeRequest(id=id_))
        await self._refused("delete", task_pb2.DeleteRequest(id=id_))
        await self._call("resize_pty", task_pb2.ResizePtyRequest(id=id_, exec_id="e", width=80, height=25))
        await self._call("close_io", task_pb2.CloseIORequest(id=id_, stdin=True))
        await self._call("kill", task_pb2.KillRequest(id=id_, exec_id="e", signal=signal.SIGKILL))
        await self._call("wait", task_pb2.WaitRequest(id=id_, exec_id="e"))
        await self._call("delete", task_pb2.DeleteRequest(id=id_, exec_id="e"))
