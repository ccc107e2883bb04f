"""Finding the spawner of this process's key, or starting it. Blocks: for 1 ms, for 25 where it must be started.

Two starters at once meet at the lock: one executes, the other finds the socket there. The socket listens before the
spawner is executed, so a request may be sent at once and is answered when the warm-up is over.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pycontainerd.spawner import key
from pycontainerd.spawner.messages import SIZE_LIMIT, own_environment
from pycontainerd.spawner.server import LISTENING_FD, identity_of, lock_path
from pycontainerd.system import process

DEFAULT_ROLES: Final = key.DEFAULT_ROLES

IDLE_S: Final = 60.0

_PROGRAM: Final = "from pycontainerd.spawner.server import main; main()"
_ROOM_FOR_TITLES: Final = 4096
_BACKLOG: Final = 128


def socket_path(socket_dir: str, roles: str = DEFAULT_ROLES) -> str:
    """Where the socket of the spawner of this process's key lies."""
    return os.path.join(socket_dir, f"spawner-{key.spawner_key(roles)}")


def ensure(path: str, *, roles: str = DEFAULT_ROLES, idle_s: float = IDLE_S) -> socket.socket:
    """A connection to the spawner at *path* (of `socket_path`), which is started if it isn't there.

    The caller closes it. Raises OSError if it can't be started.
    """
    connection = connect(path)
    if connection is not None:
        return connection
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    with _locked(lock_path(path)):
        connection = connect(path)
        if connection is None:
            _start(path, roles, idle_s)
            connection = connect(path)
    if connection is None:
        raise ConnectionRefusedError(f"the spawner at {path} does not listen although it was just started")
    return connection


def connect(path: str) -> socket.socket | None:
    """A connection to a living spawner, None if there is none."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SIZE_LIMIT)
        connection.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    except OSError:
        connection.close()
        raise
    return connection


@contextmanager
def _locked(path: str) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _start(path: str, roles: str, idle_s: float) -> None:
    temporary = os.path.join(os.path.dirname(path), f".spawner-{secrets.token_hex(4)}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(temporary)
        try:
            os.chmod(temporary, 0o600)
            listener.listen(_BACKLOG)
            os.rename(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        # -s, -P: neither the user's packages nor a working directory may come before ours.
        arguments = [sys.executable, "-s", "-P", "-c", _PROGRAM, path, identity_of(path), roles, str(idle_s)]
        with process.start(
            [*arguments, " " * _ROOM_FOR_TITLES],
            cwd="/",
            env=own_environment(),
            place_fds={LISTENING_FD: listener.fileno()},
            new_session=True,
        ) as starter:
            status = starter.wait_blocking()
    if status:
        raise ChildProcessError(f"the spawner could not be started: {sys.executable} ended with {status}")
