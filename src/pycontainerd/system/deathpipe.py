"""Ending with somebody else: a pipe whose closing kills who watches it, without a thread; see fcntl(2), F_SETSIG."""

from __future__ import annotations

import fcntl
import os
import select
import signal

F_SETSIG = 10


def die_with(pipe: int) -> None:
    """From now on this process gets SIGKILL when the last writing end of *pipe* is closed, even if it is stopped.

    Nothing must ever be written to it. The writing end has to be gone from this process.
    """
    fcntl.fcntl(pipe, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(pipe, F_SETSIG, signal.SIGKILL)
    flags = fcntl.fcntl(pipe, fcntl.F_GETFL)
    fcntl.fcntl(pipe, fcntl.F_SETFL, flags | os.O_ASYNC)
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    if poll.poll(0):  # it happened before we asked to be told
        os.kill(os.getpid(), signal.SIGKILL)
