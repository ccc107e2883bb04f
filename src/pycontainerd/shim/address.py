"""The socket of a shim: where it lies, and how it comes to listen there (runtime-shim.md §3)."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import socket
from typing import Final

from pycontainerd.quoting import quote
from pycontainerd.rpc.sockets import is_served, locked

DEFAULT_DIRECTORY: Final = "/run/containerd/s"
GROUP_ANNOTATIONS: Final = ("io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id")
"""Containers with the same value of the first of these annotations that is present share a shim, and its socket."""

PATH_LIMIT: Final = 106
BACKLOG: Final = 128


def socket_path(directory: str, daemon: str, namespace: str, group: str) -> str:
    """The path for the shim of *group* (a task's id if it is in none) of the daemon at *daemon*."""
    name = os.path.normpath(f"{daemon}/{namespace}/{group}")
    return os.path.join(directory, hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest())


def listen(path: str) -> socket.socket | None:
    """A socket that listens at *path*, mode 0600; None if a living shim does already. A dead one's is replaced.

    Raises OSError. The caller owns the socket.
    """
    if len(os.fsencode(path)) > PATH_LIMIT:
        raise OSError(f"{quote(path)}: unix socket path too long (> {PATH_LIMIT})")
    directory = os.path.dirname(path)
    os.makedirs(directory, 0o700, exist_ok=True)
    try:
        return _bind(path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
    with locked(directory):
        if is_served(path):
            return None
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return _bind(path)


def _bind(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The mode of the descriptor becomes that of the file, with no moment in which it is another; unix(7).
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(path)
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener
