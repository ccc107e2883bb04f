"""Asking the spawner from a program without a loop: the shim's executable, tests."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self

from pycontainerd.errors import Unavailable
from pycontainerd.spawner import starting
from pycontainerd.spawner.messages import (
    SIZE_LIMIT,
    Ended,
    Refused,
    Reply,
    Request,
    Setting,
    Started,
    StartShim,
    StartWorker,
    decode_reply,
    encode,
)
from pycontainerd.system.socket import receive_with_fds, send_with_fds


class Child(NamedTuple):
    """A process that was started; the caller owns the pidfd."""

    pid: int
    pidfd: int


class BlockingClient:
    """A connection to the spawner, made when it is needed and again when the spawner was killed."""

    def __init__(
        self, socket_dir: str, *, roles: str = starting.DEFAULT_ROLES, idle_s: float = starting.IDLE_S
    ) -> None:
        self._path = starting.socket_path(socket_dir, roles)
        self._roles = roles
        self._idle_s = idle_s
        self._connection: socket.socket | None = None
        self._ended: dict[int, int] = {}

    def start_shim(self, setting: Setting, request: bytes, fds: Sequence[int]) -> Child:
        """Starts a shim, whose parent will be init. Raises Unavailable, OSError."""
        return self._start(StartShim(setting, request), fds)

    def start_worker(self, role: str, setting: Setting, request: bytes, fds: Sequence[int]) -> Child:
        """Starts a worker; `wait` tells how it ended. Raises Unavailable, OSError."""
        return self._start(StartWorker(role, setting, request), fds)

    def wait(self, pid: int) -> int:
        """The exit status of a worker when it has ended. Raises Unavailable if the spawner was killed before."""
        while pid not in self._ended:
            reply, _ = self._receive()
            if not isinstance(reply, Ended):
                raise Unavailable(f"the spawner answered {reply!r} to nothing")
        return self._ended.pop(pid)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, message: Request, fds: Sequence[int]) -> Child:
        data = encode(message)
        try:
            return self._ask(data, fds)
        except (ConnectionError, EOFError):
            # It was killed, or ended as we came: a new one is asked. If the old one has started a shim before it could
            # answer, the second leaves, as a bundle has one.
            self.close()
            try:
                return self._ask(data, fds)
            except (ConnectionError, EOFError) as error:
                raise Unavailable("the spawner ends before it answers") from error

    def _ask(self, data: bytes, fds: Sequence[int]) -> Child:
        if self._connection is None:
            self._connection = starting.ensure(self._path, roles=self._roles, idle_s=self._idle_s)
        send_with_fds(self._connection, data, fds)
        while True:
            reply, descriptors = self._receive()
            match reply:
                case Started(pid):
                    return Child(pid, descriptors[0])
                case Refused(reason):
                    raise Unavailable(f"the spawner could not start a process: {reason}")
                case Ended():
                    pass

    def _receive(self) -> tuple[Reply, list[int]]:
        if self._connection is None:
            raise Unavailable("there is no connection to the spawner")
        data, descriptors = receive_with_fds(self._connection, SIZE_LIMIT)
        if not data:
            raise EOFError("the spawner has gone away")
        reply = decode_reply(data)
        if isinstance(reply, Ended):
            self._ended[reply.pid] = reply.status
        if not isinstance(reply, Started):
            for descriptor in descriptors:
                os.close(descriptor)
        return reply, descriptors
