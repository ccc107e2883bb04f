"""The names of sockets that shims leave when they are killed."""

from __future__ import annotations

import contextlib
import errno
import os
import socket


def is_served(path: str) -> bool:
    """Whether a process listens at *path*."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return probe.connect_ex(path) in (0, errno.EAGAIN)  # EAGAIN: alive, its backlog is full


def remove_if_dead(path: str) -> None:
    """Removes the name of a socket at which nobody listens. Raises OSError."""
    if os.path.lexists(path) and not is_served(path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
