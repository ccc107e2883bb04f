"""A logging program of the client's: it gets the container's output directly, no byte goes through the shim.

Descriptor 3 is the container's stdout, 4 its stderr, 5 a pipe that the program closes (or, for `binary-v2`, writes to
and closes) when it is ready. Its environment is the process's id and namespace alone.
"""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import signal
import termios
from typing import Final

from pycontainerd.errors import Unknown
from pycontainerd.shim import spawn
from pycontainerd.shim.coroutines import LoopWaiter
from pycontainerd.shim.journal import Journal
from pycontainerd.shim.loop import Loop
from pycontainerd.shim.reaper import Reaper
from pycontainerd.shim.runc import NULL, Stdio, opened_null
from pycontainerd.shim.spawn import why
from pycontainerd.shim.stdio import uri
from pycontainerd.shim.stdio.pump import consume
from pycontainerd.shim.stdio.streams import DRAIN_S, Streams, creating

LEAVE_S: Final = 1.0
"""How long a logging program may take to end by itself at the end of its input."""

TERMINATE_S: Final = 12.0
"""How long it has between SIGTERM and SIGKILL."""

_LOOK_S: Final = 0.01


class Logger:
    """A running logging program."""

    def __init__(self, loop: Loop, reaper: Reaper, journal: Journal, target: uri.Target) -> None:
        self._loop = loop
        self._reaper = reaper
        self._journal = journal
        self._target = target
        self._pid = 0
        self._ended: LoopWaiter | None = None
        self._ready = -1

    def start(self, stdout: int, stderr: int, process: str, namespace: str) -> None:
        """Starts it on the reading ends of two pipes. Raises Unknown with its path."""
        path = self._target.path
        if not path:
            raise Unknown("failed to start binary process: exec: no command")
        self._ready, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            with opened_null() as null:
                self._pid = spawn.start(
                    [path, *self._target.arguments],
                    {0: null, 1: null, 2: null, 3: stdout, 4: stderr, 5: theirs},
                    {"CONTAINER_ID": process, "CONTAINER_NAMESPACE": namespace},
                    tie=None,
                )
        except OSError as error:
            raise Unknown(f"failed to start binary process: fork/exec {path}: {why(error)}") from error
        finally:
            os.close(theirs)
        self._ended = self._reaper.exit_of(self._pid)

    async def ready(self) -> None:
        """Waits until the program says that it is. Raises Unknown if it was to say so and has not."""
        await self._loop.readable(self._ready)
        said = os.read(self._ready, 1)
        if self._target.scheme == uri.BINARY_V2 and not said:
            raise Unknown("logging binary did not call ready (it may have crashed or exited prematurely)")

    async def outlived(self, *sources: int) -> None:
        """Takes what is written to *sources* once the program has gone: its end must not stop the process."""
        assert self._ended is not None  # noqa: S101 - called for one that was started
        await self._ended
        told = False

        def lose(data: bytes) -> None:
            nonlocal told
            if not told:
                told = True
                self._journal.warning(f"logging program {self._target.path} has ended: output is lost from now on")

        tasks = [self._loop.spawn(consume(self._loop, source, lose), name="lost output") for source in sources]
        try:
            for task in tasks:
                await task.ended
        finally:
            for task in tasks:
                task.cancel()
                await task.ended

    async def stop(self) -> None:
        """Waits for the program to end by itself, then makes it end."""
        if self._ready >= 0:
            self._loop.forget(self._ready)
            os.close(self._ready)
            self._ready = -1
        if self._ended is None:
            return
        for number, limit_s in ((0, LEAVE_S), (signal.SIGTERM, TERMINATE_S), (signal.SIGKILL, TERMINATE_S)):
            if self._ended.done():
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, number)
            if await self._loop.first_within(self._ended, limit_s):
                return
        self._journal.error(f"logging program {self._target.path} with pid {self._pid} does not end")


class LoggerStreams(Streams):
    """stdout and stderr as pipes that a logging program reads."""

    def __init__(self, loop: Loop, journal: Journal, logger: Logger, uid: int, gid: int) -> None:
        super().__init__(loop, journal)
        self._logger = logger
        self._stdout, stdout = self.pipe(uid, gid)
        self._stderr, stderr = self.pipe(uid, gid)
        self.given = Stdio(NULL, self.hand_on(stdout), self.hand_on(stderr))

    async def open(self, process: str, namespace: str) -> None:
        """Starts the program. Raises Unknown."""
        with creating():
            self._logger.start(self._stdout, self._stderr, process, namespace)
            await self._logger.ready()
        self.beside(self._logger.outlived(self._stdout, self._stderr), name="logging program")

    async def drained(self) -> None:
        """Waits until the program has taken all that is in the pipes."""
        deadline = self.loop.now() + DRAIN_S
        while _waiting(self._stdout) or _waiting(self._stderr):
            if self.loop.now() > deadline:
                self.journal.warning("the logging program has not taken all output in time")
                return
            await self.loop.sleep(_LOOK_S)

    async def close(self) -> None:
        await super().close()
        await self._logger.stop()


def _waiting(pipe: int) -> int:
    """Bytes in a pipe; see FIONREAD in pipe(7)."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]
