"""The life of a shim: from a listening socket until the daemon says that it is no longer needed."""

from __future__ import annotations

import signal
import socket
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pycontainerd.rpc.driver import Connection
from pycontainerd.rpc.ttrpc.server import TtrpcServerConnection
from pycontainerd.shim.exec_fifo import KnownRuntimes
from pycontainerd.shim.host import Host
from pycontainerd.shim.journal import Journal
from pycontainerd.shim.loop import Loop
from pycontainerd.shim.messages import ShimRequest
from pycontainerd.shim.publisher import EventPublisher
from pycontainerd.shim.reaper import Reaper
from pycontainerd.shim.runc import Runc
from pycontainerd.shim.service import TaskServices
from pycontainerd.shim.spawn import Tie
from pycontainerd.shim.tasks import Tasks
from pycontainerd.shim.transport import Listener, remove_socket

FLUSH_S: Final = 2.0
"""How long the last events may take on their way when the shim ends."""

REST_S: Final = 1.0
"""How long nothing must have happened before a shim lets go of what it can have again, for the first time."""

SIGNALS: Final = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is made before a shim is forked, and the same for all."""

    services: TaskServices = field(default_factory=TaskServices)
    known: KnownRuntimes = field(default_factory=KnownRuntimes)
    tie: Tie = ()


def serve(
    request: ShimRequest,
    listening: socket.socket,
    log_fd: int,
    environment: Mapping[str, str],
    prepared: Prepared,
) -> None:
    """Serves *listening* until a shutdown is asked for, by a call or by SIGTERM; removes the socket then."""
    fields = {"runtime": "io.containerd.runc.v2", "id": request.id}
    journal = Journal(log_fd, debug=request.debug, fields=fields)
    loop = Loop(lambda name, error: journal.error(f"{name}: {_described(error)}"))
    shim = Shim(loop, journal, request, environment, prepared)
    loop.at_rest(REST_S, shim.rest)
    loop.run(shim.run(listening))


class Shim:
    """The parts of a shim, put together."""

    def __init__(
        self,
        loop: Loop,
        journal: Journal,
        request: ShimRequest,
        environment: Mapping[str, str],
        prepared: Prepared,
        *,
        make_runc: Callable[..., Runc] = Runc,
    ) -> None:
        self._loop = loop
        self._journal = journal
        self._request = request
        self._reaper = Reaper(loop)
        self._publisher = EventPublisher(loop, journal, request.namespace, request.ttrpc_address)
        host = Host(
            loop,
            self._reaper,
            journal,
            self._publisher,
            request.namespace,
            environment,
            prepared.known,
            prepared.tie,
            make_runc,
        )
        self._tasks = Tasks(host)
        prepared.services.attach(self._tasks)
        self._table = prepared.services.table

    async def run(self, listening: socket.socket) -> None:
        """Serves until a shutdown is asked for."""
        self._loop.watch_signals(SIGNALS, self._signalled)
        forwarding = self._loop.spawn(self._publisher.run(), name="events")
        listener = Listener(self._loop, listening, self._connection)

        listener_open = True

        def leave() -> None:
            # Once, and before Shutdown is answered: from then on a successor may have its socket at the same path.
            nonlocal listener_open
            if listener_open:
                listener_open = False
                remove_socket(self._request.socket_path)
                listener.close()

        self._tasks.before_shutdown = leave
        try:
            await self._tasks.shutdown
            leave()
            await self._publisher.flush(FLUSH_S)
        finally:
            leave()
            forwarding.cancel()
            await self._publisher.close()

    def rest(self) -> None:
        """Lets go of what can be had again."""
        self._publisher.rest()

    def _connection(self) -> Connection:
        return TtrpcServerConnection(self._table, self._loop, on_defect=self._loop.on_error)

    def _signalled(self, number: int) -> None:
        match number:
            case signal.SIGCHLD:
                self._reaper.reap()
            case signal.SIGUSR1:
                self._dump()
            case _:
                self._tasks.shutdown.set(None)

    def _dump(self) -> None:
        """Writes what every coroutine waits for to the log."""
        lines = []
        for task in list(self._loop.tasks):
            lines.append(f"{task.name}:")
            lines += [f"  {where}" for where in task.where()]
        self._journal.info("=== BEGIN coroutine dump ===\n" + "\n".join(lines) + "\n=== END coroutine dump ===")


def _described(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).rstrip()
