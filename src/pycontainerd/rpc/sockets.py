"""Listening sockets, complete before anyone can connect.

A bound socket refuses connections until it listens, so owner and mode are set between the two. Whether an old socket
file is a living server's is found by connecting to it: a living one is left alone.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pycontainerd.errors import FailedPrecondition, InvalidArgument

PATH_LIMIT: Final = 104
"""Bytes of a unix socket's path; the limit of the original, below that of the kernel (108)."""

BACKLOG: Final = 4096

LOCK_S: Final = 10.0
"""How long a directory may be locked by another process that makes a socket there, which takes it no time."""

LOCK_RETRY_S: Final = 0.01


def listen_unix(path: str, *, uid: int = -1, gid: int = -1, mode: int = 0o660) -> socket.socket:
    """Listens on the unix socket *path*, owned by *uid* and *gid* (-1: the caller's) with *mode*.

    A missing parent is made with mode 0770 and the same owner; a socket that nobody serves is replaced. The caller
    owns the socket, which does not block. Raises FailedPrecondition when a living server has the path or when
    something else than a socket is there, InvalidArgument when the path is too long, OSError otherwise.
    """
    if len(os.fsencode(path)) > PATH_LIMIT:
        raise InvalidArgument(f"unix socket path {path!r} is longer than {PATH_LIMIT} bytes")
    parent = os.path.dirname(os.path.abspath(path))
    _make_parents(parent, uid, gid)
    with locked(parent):
        _clear_stale(path)
        return _bind(path, uid, gid, mode)


def listen_tcp(host: str, port: int) -> socket.socket:
    """Listens on *host* and *port* (0: any free one). The caller owns the socket, which does not block."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def is_served(path: str) -> bool:
    """Whether a living server listens on the unix socket *path*. OSError when that can't be found out."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        code = probe.connect_ex(path)
    if code in (0, errno.EAGAIN):  # EAGAIN: its backlog is full
        return True
    if code in (errno.ECONNREFUSED, errno.ENOENT):
        return False
    raise OSError(code, os.strerror(code), path)


def _make_parents(parent: str, uid: int, gid: int) -> None:
    if os.path.isdir(parent):
        return
    os.makedirs(os.path.dirname(parent), exist_ok=True)
    try:
        os.mkdir(parent, 0o770)
    except FileExistsError:
        return
    os.chmod(parent, 0o770)  # noqa: S103 - mkdir subtracts the umask
    os.chown(parent, uid, gid)


@contextmanager
def locked(directory: str, *, limit_s: float = LOCK_S) -> Iterator[None]:
    """Keeps others who call this out of *directory*: two that find the same stale socket must not both replace it.

    Raises OSError when another process does not let go of it in time.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    until = time.monotonic() + limit_s
    try:
        while not _lock_nowait(descriptor):
            if time.monotonic() >= until:
                raise OSError(errno.EWOULDBLOCK, "another process keeps it locked", directory)
            time.sleep(LOCK_RETRY_S)
        yield
    finally:
        os.close(descriptor)


def _lock_nowait(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _clear_stale(path: str) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FailedPrecondition(f"{path}: is there and is not a socket", hint="remove it or choose another address")
    if is_served(path):
        raise FailedPrecondition(
            f"{path} is served by a living daemon", hint="stop that daemon or choose another address"
        )
    os.unlink(path)


def _bind(path: str, uid: int, gid: int, mode: int) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.bind(path)
        os.chmod(path, mode)
        os.chown(path, uid, gid)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
