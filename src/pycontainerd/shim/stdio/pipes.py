"""Streams over pipes of ours, copied to and from fifos of a client, or into a file."""

from __future__ import annotations

import os
import stat
from typing import Final

from pycontainerd.errors import Unknown
from pycontainerd.shim.journal import Journal
from pycontainerd.shim.logs.log import Log
from pycontainerd.shim.logs.record import STDERR, STDOUT
from pycontainerd.shim.logs.target import LogTarget
from pycontainerd.shim.loop import Loop
from pycontainerd.shim.runc import NULL, Stdio
from pycontainerd.shim.spawn import why
from pycontainerd.shim.stdio import pump, uri
from pycontainerd.shim.stdio.streams import Destination, Streams, creating

_ANYHOW: Final = os.O_NONBLOCK | os.O_CLOEXEC


def open_destination(streams: Streams, path: str) -> Destination:
    """Opens a fifo for writing, and for reading as well: its reader may come, go and come back. Or a file, to append.

    Raises OSError; never waits for a reader.
    """
    if stat.S_ISFIFO(os.stat(path).st_mode):
        reading = streams.own(os.open(path, os.O_RDONLY | _ANYHOW))
        pump.widen(reading)
        return Destination(streams.own(os.open(path, os.O_WRONLY | _ANYHOW)), reading, is_pipe=True)
    return Destination(streams.own(os.open(path, os.O_WRONLY | os.O_APPEND | _ANYHOW)), is_pipe=False)


def open_log_file(streams: Streams, path: str) -> Destination:
    """Opens a log file to append, with the directories above it."""
    try:
        os.makedirs(os.path.dirname(path) or "/", 0o755, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _ANYHOW
        return Destination(streams.own(os.open(path, flags, 0o644)), is_pipe=False)
    except OSError as error:
        raise Unknown(f"open {path}: {why(error)}") from error


def open_log(streams: Streams, target: uri.Target, *names: str) -> None:
    """Opens a log of our own for the streams of these names. Raises Unknown."""
    wanted = LogTarget.parse(target.path, target.options)
    streams.log = Log(streams.loop, wanted, names, streams.journal.warning)


class PipeStreams(Streams):
    """Pipes between the process and its destinations, owned by *uid* and *gid*."""

    def __init__(self, loop: Loop, journal: Journal, request: uri.Request, uid: int, gid: int) -> None:
        super().__init__(loop, journal)
        self._request = request
        stdin = self.pipe(uid, gid) if request.stdin else None
        stdout = self.pipe(uid, gid) if request.stdout else None
        stderr = self.pipe(uid, gid) if request.stderr else None
        self._stdin = stdin[1] if stdin else -1
        outputs = {STDOUT: stdout, STDERR: stderr}
        self._sources = {name: pipe[0] for name, pipe in outputs.items() if pipe}
        for source in self._sources.values():
            pump.widen(source)
        self.given = Stdio(
            self.hand_on(stdin[0]) if stdin else NULL,
            self.hand_on(stdout[1]) if stdout else NULL,
            self.hand_on(stderr[1]) if stderr else NULL,
        )
        self._destinations: dict[str, Destination] = {}
        self._stdin_fifo = -1

    def open(self, target: uri.Target) -> None:
        """Opens the client's ends, *target* for the output if it is a URI. Raises Unknown with the path."""
        with creating():
            if target.scheme == uri.CRI_LOG:
                open_log(self, target, *self._sources)
            elif target.scheme == uri.FILE:
                self._destinations = dict.fromkeys(self._sources, open_log_file(self, target.path))
        if self._request.stdin:
            self._stdin_fifo = self.open_stdin(uri.parse(self._request.stdin).path)
        if target.scheme == uri.FIFO:
            self._open_each()

    def _open_each(self) -> None:
        for name, text in ((STDOUT, self._request.stdout), (STDERR, self._request.stderr)):
            path = uri.parse(text).path
            if not path:
                continue
            try:
                # Each stream has descriptors of its own, also of the same file: one waits for a descriptor at a time.
                self._destinations[name] = open_destination(self, path)
            except OSError as error:
                what = f'containerd-shim: opening file "{path}" failed: open {path}: {why(error)}'
                raise Unknown(f"failed to start io pipe copy: unable to copy pipes: {what}") from error

    def started(self) -> None:
        super().started()
        if self.log is not None:
            self.pump_to_log(self._sources)
        for name, destination in self._destinations.items():
            self._pump(self._sources[name], destination, name)
        if self._stdin_fifo >= 0:
            os.set_blocking(self._stdin, False)
            moved = pump.splice(self.loop, self._stdin_fifo, self._stdin)
            self.pump_in(moved, self._stdin_fifo, self._stdin, name="stdin")

    def _pump(self, source: int, destination: Destination, name: str) -> None:
        if destination.is_pipe:
            moved = pump.splice(self.loop, source, destination.fd)
        else:
            os.set_blocking(source, False)
            moved = pump.copy(self.loop, source, destination.fd)
        self.pump_out(moved, source, destination, name=name)
