"""The one owner of wait4: every child of the shim, and every orphan of its containers, ends here."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

from pycontainerd.shim.coroutines import LoopWaiter
from pycontainerd.shim.loop import Loop


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended: exit code or 128 + signal, and when, in nanoseconds since 1970."""

    pid: int
    status: int
    at_ns: int


class Reaper:
    """Reaps whatever has ended and tells who asked for it.

    A container's process becomes our child only when the runc that made it has ended, and may have ended itself before
    its pid is known. While someone is `expecting` such a pid, the exits that nobody asked for are kept.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._waiting: dict[int, LoopWaiter] = {}
        self._unclaimed: dict[int, Ended] = {}
        self._expecting = 0

    def exit_of(self, pid: int) -> LoopWaiter:
        """A waiter for the `Ended` of *pid*. To be asked for once, before the loop turns or while `expecting`."""
        waiter = self._loop.waiter()
        ended = self._unclaimed.pop(pid, None)
        if ended is not None:
            waiter.set(ended)
        else:
            self._waiting[pid] = waiter
        return waiter

    @contextlib.contextmanager
    def expecting(self) -> Iterator[None]:
        """Keeps exits that nobody has asked for yet."""
        self._expecting += 1
        try:
            yield
        finally:
            self._expecting -= 1
            if not self._expecting:
                self._unclaimed.clear()

    def reap(self) -> None:
        """Takes every child that has ended: on SIGCHLD, of which one may stand for several."""
        while True:
            try:
                pid, wait_status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            ended = Ended(pid, _status(wait_status), time.time_ns())
            waiter = self._waiting.pop(pid, None)
            if waiter is not None:
                waiter.set(ended)
            elif self._expecting:
                self._unclaimed[pid] = ended


def _status(wait_status: int) -> int:
    code = os.waitstatus_to_exitcode(wait_status)
    return code if code >= 0 else 128 - code
