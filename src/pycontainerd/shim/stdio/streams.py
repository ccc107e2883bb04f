"""The streams of one process: what all kinds of destinations have in common."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any, Final

from pycontainerd.errors import Unknown
from pycontainerd.shim.coroutines import LoopTask
from pycontainerd.shim.journal import Journal
from pycontainerd.shim.logs.log import Log
from pycontainerd.shim.loop import Loop
from pycontainerd.shim.runc import Stdio
from pycontainerd.shim.spawn import why
from pycontainerd.shim.stdio.pump import consume, discard

_ANYHOW: Final = os.O_NONBLOCK | os.O_CLOEXEC

DRAIN_S: Final = 10.0
"""How long deleting a process waits for its output to be taken."""


@contextlib.contextmanager
def creating() -> Iterator[None]:
    """Says of errors inside at which of its steps the original meets them."""
    try:
        yield
    except Unknown as error:
        raise error.within("failed to create init process I/O") from error


class Destination:
    """Where output goes: the descriptor that takes it, and all that are open for it."""

    __slots__ = ("ends", "fd", "is_pipe", "pumps")

    def __init__(self, fd: int, *others: int, is_pipe: bool) -> None:
        self.fd = fd
        self.ends = (fd, *others)
        self.is_pipe = is_pipe
        self.pumps = 0


class Streams:
    """Descriptors and pumps of one process. The owner calls, in this order:

    `given` for what runc hands on, `started` once it has, `close_stdin` when the client wants it, `drained` to wait for
    the last byte, `close` at the end, whatever happened before.
    """

    def __init__(self, loop: Loop, journal: Journal) -> None:
        self.loop = loop
        self.journal = journal
        self.given = Stdio()
        self.log: Log | None = None
        """What takes the output, if we write its log ourselves."""
        self._open: set[int] = set()
        self._inner: list[int] = []
        self._outputs: list[LoopTask] = []
        self._inputs: list[LoopTask] = []
        self._held_stdin = -1

    @property
    def console_socket(self) -> str:
        """The path of the socket that runc sends a terminal to; nothing without one."""
        return ""

    async def connected(self) -> None:
        """Waits for what arrives while runc runs: a terminal."""

    def started(self) -> None:
        """runc has handed the descriptors on: ours are closed, so that the process holds the last ones."""
        for fd in self._inner:
            self.drop(fd)
        self._inner.clear()

    def resize(self, width: int, height: int) -> None:
        """Sets the size of the terminal, if there is one."""

    def close_stdin(self) -> None:
        """Closes our end of stdin: the process sees the end of it once no client has it open."""
        if self._held_stdin >= 0:
            self.drop(self._held_stdin)
            self._held_stdin = -1

    async def drained(self) -> None:
        """Waits until all output has reached its destination, or the limit is over: its reader may never come."""
        waiting = [task for task in self._outputs if not task.ended.done()]
        if not waiting:
            return
        all_ended = self.loop.waiter()
        watch = self.loop.spawn(_all_of(waiting, all_ended), name="drain")
        if not await self.loop.first_within(all_ended, DRAIN_S):
            self.journal.warning("output of a process that ended was not taken in time")
            watch.cancel()

    async def close(self) -> None:
        """Stops all pumps and closes all descriptors."""
        for task in (*self._inputs, *self._outputs):
            task.cancel()
        for task in (*self._inputs, *self._outputs):
            await task.ended
        for fd in list(self._open):
            self.drop(fd)
        if self.log is not None:
            self.log.close()

    # --- for the kinds

    def own(self, fd: int) -> int:
        """Takes over a descriptor."""
        self._open.add(fd)
        return fd

    def drop(self, fd: int) -> None:
        """Closes a descriptor that is ours."""
        if fd in self._open:
            self._open.discard(fd)
            self.loop.forget(fd)
            os.close(fd)

    def pipe(self, uid: int, gid: int) -> tuple[int, int]:
        """A pipe that belongs to *uid* and *gid*, so that the process may open it again by /dev/stdout."""
        read, write = os.pipe2(os.O_CLOEXEC)
        self.own(read)
        self.own(write)
        if uid or gid:
            os.fchown(read, uid, gid)
            os.fchown(write, uid, gid)
        return read, write

    def open_stdin(self, path: str) -> int:
        """The end of a client's fifo to read from; the other is held until `close_stdin`. Raises Unknown."""
        try:
            fifo = self.own(os.open(path, os.O_RDONLY | _ANYHOW))
            self._held_stdin = self.own(os.open(path, os.O_WRONLY | _ANYHOW))
        except OSError as error:
            raise Unknown(f"failed to open stdin fifo {path}: stat {path}: {why(error)}") from error
        return fifo

    def hand_on(self, fd: int) -> int:
        """Marks *fd* as one that only the process keeps."""
        self._inner.append(fd)
        return fd

    def pump_out(self, pump: Coroutine[Any, Any, None], source: int, target: Destination, *, name: str) -> None:
        """Runs *pump*, which moves output from *source* to *target*; the last pump into a target closes it."""
        target.pumps += 1
        self._outputs.append(self.loop.spawn(self._pumped(pump, source, target, name), name=name))

    def pump_to_log(self, sources: Mapping[str, int]) -> None:
        """Reads the stream of each name into the log."""
        for name, source in sources.items():
            self._outputs.append(self.loop.spawn(self._logged(name, source), name=name))

    def beside(self, coroutine: Coroutine[Any, Any, None], *, name: str) -> None:
        """Runs *coroutine* until the streams are closed."""
        self._inputs.append(self.loop.spawn(coroutine, name=name))

    def pump_in(self, pump: Coroutine[Any, Any, None], *ends: int, name: str) -> None:
        self.beside(self._fed(pump, ends, name), name=name)

    async def _pumped(self, pump: Coroutine[Any, Any, None], source: int, target: Destination, name: str) -> None:
        try:
            await pump
        except OSError as error:
            # A destination that fails must not stop the container: what follows is lost, and said to be.
            self.journal.warning(f"copy {name}: {error}")
            await discard(self.loop, source)
        finally:
            target.pumps -= 1
            if not target.pumps:
                for fd in target.ends:
                    self.drop(fd)

    async def _logged(self, name: str, source: int) -> None:
        log = self.log
        assert log is not None  # noqa: S101 - opened before anything is pumped
        try:
            await consume(self.loop, source, functools.partial(log.write, name))
        finally:
            log.end(name)

    async def _fed(self, pump: Coroutine[Any, Any, None], ends: tuple[int, ...], name: str) -> None:
        with contextlib.suppress(OSError):  # the process has closed its stdin
            await pump
        for fd in ends:
            self.drop(fd)


async def _all_of(tasks: list[LoopTask], all_ended: Any) -> None:
    for task in tasks:
        await task.ended
    all_ended.set(None)
