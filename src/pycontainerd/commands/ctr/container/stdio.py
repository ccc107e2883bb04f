"""Where a process of a container reads and writes, and the copying between there and here.

The client makes a directory of its own with a fifo for each stream; the shim opens the other ends, and keeps
them open, so that clients may come and go. With a terminal there is no standard error. See the reference on
shims, section 7.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from pycontainerd.client.beside import Beside
from pycontainerd.errors import InvalidArgument
from pycontainerd.rpc.blocking_driver import BlockingDriver

FIFO_DIRECTORY = "/run/containerd/fifo"
CHUNK = 32 * 1024
SAFE_WRITE = 4096
"""Bytes that a pipe takes at once when poll(2) calls it writable: PIPE_BUF."""


class Stdio:
    """The three streams of a process by the names that the shim gets."""

    __slots__ = ("directory", "stderr", "stdin", "stdout", "terminal")

    def __init__(
        self, stdin: str = "", stdout: str = "", stderr: str = "", *, terminal: bool = False, directory: str = ""
    ) -> None:
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self.terminal = terminal
        self.directory = directory

    @classmethod
    def nothing(cls) -> Self:
        """No input, output thrown away."""
        return cls()

    @classmethod
    def logged(cls, uri: str) -> Self:
        """Output that the shim hands to *uri*."""
        return cls("", uri, uri)

    @classmethod
    def fifos(cls, name: str, parent: str = "", *, terminal: bool = False) -> Self:
        """New fifos for the process *name*, in a new directory of *parent*."""
        parent = parent or FIFO_DIRECTORY
        os.makedirs(parent, 0o700, exist_ok=True)
        directory = tempfile.mkdtemp(dir=parent, prefix="")
        streams = ("stdin", "stdout") if terminal else ("stdin", "stdout", "stderr")
        paths = [os.path.join(directory, f"{name}-{stream}") for stream in streams]
        for path in paths:
            os.mkfifo(path, 0o700)
        return cls(*paths, terminal=terminal, directory=directory)

    def remove(self) -> None:
        """Removes the fifos; the directory too, if it holds nothing else."""
        remove_fifos(self.stdin, self.stdout, self.stderr)


def remove_fifos(*paths: str) -> None:
    """Removes those of *paths* that are fifos, and the directories that they leave empty."""
    for path in paths:
        with suppress(OSError):
            if path.startswith("/") and stat.S_ISFIFO(os.lstat(path).st_mode):
                os.unlink(path)
                os.rmdir(os.path.dirname(path))


def choose(name: str, *, terminal: bool, null_io: bool = False, log_uri: str = "", fifo_dir: str = "") -> Stdio:
    """The streams that flags ask for. Raises InvalidArgument for a terminal without streams."""
    if terminal:
        if null_io:
            raise InvalidArgument("tty and null-io cannot be used together", bare=True)
        return Stdio.fifos(name, fifo_dir, terminal=True)
    if null_io:
        return Stdio.nothing()
    if log_uri:
        return Stdio.logged(log_uri)
    return Stdio.fifos(name, fifo_dir)


class Copying:
    """Copies the streams of a process from and to our own, as long as the block lasts.

    *stdin_ended* is called when our own input has ended.
    """

    def __init__(self, driver: BlockingDriver, stdio: Stdio, stdin_ended: Callable[[], Awaitable[None]]) -> None:
        self._driver = driver
        self._stdio = stdio
        self._stdin_ended = stdin_ended
        self._outputs: list[tuple[int, int]] = []
        self._input = -1
        self._beside = Beside(driver)

    async def __aenter__(self) -> Self:
        for path, target in ((self._stdio.stdout, 1), (self._stdio.stderr, 2)):
            if is_fifo(path):
                # Without a writer this neither blocks nor is at its end: poll(2) waits for the first one.
                self._outputs.append((os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), target))
        if is_fifo(self._stdio.stdin):
            # With O_RDWR, since for writing alone a fifo that nobody reads yet can't be opened.
            self._input = os.open(self._stdio.stdin, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        return self

    def start(self) -> None:
        """Begins to copy; to be called when the shim has opened its ends."""
        for source, target in self._outputs:
            self._beside.start(self._copy_out(source, target), name=f"copy to {target}")
        if self._input >= 0:
            self._beside.start(self._copy_in(), name="copy stdin")

    async def drain(self) -> None:
        """Copies what is left of the output, up to its end; for after the process has ended."""
        await self._beside.__aexit__(None, None, None)
        self._beside = Beside(self._driver)
        for source, target in self._outputs:
            self._beside.start(self._copy_rest(source, target), name=f"drain to {target}")
        await self._beside.ended()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._beside.__aexit__(kind, error, trace)
        finally:
            for source, _ in self._outputs:
                os.close(source)
            self._close_input()

    async def _copy_out(self, source: int, target: int) -> None:
        while True:
            await self._driver.readable(source)
            if not await self._copy_some(source, target):
                return

    async def _copy_rest(self, source: int, target: int) -> None:
        while True:
            try:
                if not await self._copy_some(source, target):
                    return
            except BlockingIOError:
                await self._driver.readable(source)

    async def _copy_some(self, source: int, target: int) -> bool:
        """Copies a piece; False at the end."""
        data = memoryview(os.read(source, CHUNK))
        if not data:
            return False
        while data:
            await self._driver.writable(target)
            data = data[os.write(target, data[:SAFE_WRITE]) :]
        return True

    async def _copy_in(self) -> None:
        try:
            await self._copy_input()
        except BrokenPipeError:
            return
        self._close_input()
        await self._stdin_ended()

    async def _copy_input(self) -> None:
        while True:
            await self._driver.readable(0)
            try:
                data = memoryview(os.read(0, CHUNK))
            except OSError:
                return  # closed, or the terminal went away: that is an end too
            if not data:
                return
            while data:
                await self._driver.writable(self._input)
                with suppress(BlockingIOError):
                    data = data[os.write(self._input, data) :]

    def _close_input(self) -> None:
        descriptor, self._input = self._input, -1
        if descriptor >= 0:
            os.close(descriptor)


def is_fifo(path: str) -> bool:
    """Whether *path* is a fifo that is there; URIs aren't."""
    try:
        return path.startswith("/") and stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False
