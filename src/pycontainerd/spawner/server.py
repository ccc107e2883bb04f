"""The spawner itself: one thread, no event loop, nothing imported after the warm-up; it only forks.

It is executed by a starter (`starting`) with its listening socket as descriptor 3.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import importlib
import os
import select
import signal
import socket
import sys
from typing import Final, NoReturn

import msgspec
from msgspec import Struct, field

from pycontainerd import faults
from pycontainerd.spawner import child
from pycontainerd.spawner.messages import (
    DESCRIPTOR_LIMIT,
    SIZE_LIMIT,
    Ended,
    Refused,
    Reply,
    Request,
    Started,
    StartShim,
    StartWorker,
    decode_request,
    encode,
)
from pycontainerd.spawner.roles import SHIM, Main
from pycontainerd.spawner.settling import settle
from pycontainerd.system import pidfd as pidfds
from pycontainerd.system.socket import peer_credentials, receive_with_fds, send_with_fds
from pycontainerd.system.title import set_title

LISTENING_FD: Final = 3
TITLE: Final = "containerd-spawner"

faults.declare("spawner.asked", "spawner.forked")


def main() -> NoReturn:
    """The program: `<socket path> <its device:inode> <roles as module:attribute> <idle seconds> <padding>`."""
    path, identity, table, idle_s = sys.argv[1:5]
    if os.fork():
        os._exit(0)  # the starter reaps us; the spawner's parent is init
    set_title([TITLE])
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.disable()
    spawner = Spawner(socket.socket(fileno=LISTENING_FD), path, identity, load_roles(table), float(idle_s))
    gc.collect()
    kept = settle()
    gc.freeze()
    faults.arm(os.environ.get(faults.VARIABLE, ""))  # not before: what is played through has points of its own
    spawner.run()
    del kept
    os._exit(0)


def load_roles(table: str) -> dict[str, Main | str]:
    """The functions of the roles in *table*, each module warmed; the reason in place of one that can't be imported."""
    module, _, attribute = table.partition(":")
    roles: dict[str, Main | str] = {}
    for role, target in getattr(importlib.import_module(module), attribute).items():
        name, _, function = target.partition(":")
        try:
            loaded = importlib.import_module(name)
        except ImportError as error:
            roles[role] = f"role {role} can't be loaded: {error}"
        else:
            loaded.warm()
            roles[role] = getattr(loaded, function)
    return roles


def _spare() -> int:
    """A descriptor that is there to be closed when there are no others."""
    return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)


class _Worker(Struct, eq=False):
    pid: int
    pidfd: int
    owner: socket.socket


class Spawner(Struct):
    """The state of the loop: who is connected, which workers run."""

    listener: socket.socket
    path: str
    identity: str
    """Device and inode of the socket's name, by which we know whether it is still ours."""
    roles: dict[str, Main | str]
    idle_s: float
    connections: dict[int, socket.socket] = field(default_factory=dict)
    workers: dict[int, _Worker] = field(default_factory=dict)
    poll: select.poll = field(default_factory=select.poll)
    spare: int = field(default_factory=_spare)

    def run(self) -> None:
        """Serves until it was idle for long enough."""
        self.listener.setblocking(False)
        self.poll.register(self.listener, select.POLLIN)
        while True:
            busy = self.connections or self.workers
            events = self.poll.poll(None if busy else self.idle_s * 1000)
            if not events and not busy and self.leave():
                return
            for descriptor, _ in events:
                self.handle(descriptor)

    def handle(self, descriptor: int) -> None:
        if descriptor == self.listener.fileno():
            self.accept()
        elif descriptor in self.workers:
            self.reap(self.workers.pop(descriptor))
        elif descriptor in self.connections:
            self.serve(self.connections[descriptor])

    def accept(self) -> bool:
        """Takes a connection if one waits and comes from our own user; whether there was one."""
        try:
            connection, _ = self.listener.accept()
        except BlockingIOError:
            return False
        except OSError:
            self.turn_away()
            return True
        if peer_credentials(connection)[1:] != (os.geteuid(), os.getegid()):
            connection.close()
            return True
        self.connections[connection.fileno()] = connection
        self.poll.register(connection, select.POLLIN)
        return True

    def turn_away(self) -> None:
        """There is no descriptor left for who waits: takes it with the spare one and hangs up."""
        os.close(self.spare)
        with contextlib.suppress(OSError):
            self.listener.accept()[0].close()
        self.spare = _spare()

    def drop(self, connection: socket.socket) -> None:
        if self.connections.pop(connection.fileno(), None) is not None:
            self.poll.unregister(connection)
            connection.close()

    def reply(self, connection: socket.socket, message: Reply, *fds: int) -> None:
        """Sends to one that reads; who doesn't, or is gone, is dropped: nobody may stop the spawner."""
        if connection.fileno() < 0:
            return
        try:
            send_with_fds(connection, encode(message), fds, socket.MSG_DONTWAIT)
        except OSError:
            self.drop(connection)

    def reap(self, worker: _Worker) -> None:
        self.poll.unregister(worker.pidfd)
        status = pidfds.reap(worker.pidfd)
        os.close(worker.pidfd)
        self.reply(worker.owner, Ended(worker.pid, status))

    def serve(self, connection: socket.socket) -> None:
        """Reads one request and answers it."""
        try:
            data, fds = receive_with_fds(
                connection, SIZE_LIMIT, max_descriptors=DESCRIPTOR_LIMIT, flags=socket.MSG_DONTWAIT
            )
        except BlockingIOError:
            return
        except OSError:
            self.drop(connection)
            return
        except ValueError as error:
            self.reply(connection, Refused(str(error)))
            return
        try:
            if data:
                self.answer(connection, decode_request(data), fds)
            else:
                self.drop(connection)
        except (msgspec.DecodeError, OSError) as error:
            self.reply(connection, Refused(str(error)))
        finally:
            for descriptor in fds:
                os.close(descriptor)

    def answer(self, connection: socket.socket, request: Request, fds: list[int]) -> None:
        faults.reach("spawner.asked")
        role = request.role if isinstance(request, StartWorker) else SHIM
        function = self.roles.get(role, f"role {role!r} is not known")
        if isinstance(function, str):
            self.reply(connection, Refused(function))
        elif isinstance(request, StartShim):
            self.start_shim(connection, function, request, fds)
        else:
            self.start_worker(connection, function, request, fds)

    def start_worker(self, connection: socket.socket, function: Main, request: Request, fds: list[int]) -> None:
        pid = os.fork()
        if pid == 0:
            child.run(function, request.setting, request.request, fds)
        pidfd = pidfds.of_child(pid)
        self.workers[pidfd] = _Worker(pid, pidfd, connection)
        self.poll.register(pidfd, select.POLLIN)
        self.reply(connection, Started(pid), pidfd)

    def start_shim(self, connection: socket.socket, function: Main, request: Request, fds: list[int]) -> None:
        """Forks twice: who is between us and the shim ends at once, so that the shim's parent is init.

        The one between opens the pidfd, since only a parent that hasn't reaped knows whose number it is.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            between = os.fork()
            if between == 0:
                _fork_and_tell(theirs, function, request, fds)
            theirs.close()
            os.waitpid(between, 0)
            data, pidfd = receive_with_fds(ours, 32)
        if not pidfd:
            raise OSError(f"can't fork a shim: {data.decode() or 'the process between has died'}")
        faults.reach("spawner.forked")
        self.reply(connection, Started(int(data)), *pidfd)
        os.close(pidfd[0])

    def leave(self) -> bool:
        """Gives the socket up unless somebody comes; whether this process shall end."""
        with open(lock_path(self.path), "rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False  # a starter is about to ask
            if identity_of(self.path) == self.identity:
                os.unlink(self.path)
            if self.accept():
                return False  # served to its end; whoever comes later starts another spawner
        self.listener.close()
        return True


def lock_path(path: str) -> str:
    """The file that who starts or ends the spawner at *path* has locked."""
    return f"{path}.lock"


def identity_of(path: str) -> str:
    """Device and inode of the file at *path*, nothing if there is none."""
    try:
        state = os.lstat(path)
    except FileNotFoundError:
        return ""
    return f"{state.st_dev}:{state.st_ino}"


def _fork_and_tell(pair: socket.socket, function: Main, request: Request, fds: list[int]) -> NoReturn:
    try:
        pid = os.fork()
        if pid == 0:
            child.run(function, request.setting, request.request, fds)
        send_with_fds(pair, str(pid).encode(), [pidfds.of_child(pid)])
    except OSError as error:
        pair.send(str(error).encode())
    finally:
        os._exit(0)
