"""Where a process of a container reads and writes, and the copying between there and here.

The client makes a directory of its own with a fifo for each stream; the shim opens the other ends, and keeps
them open, so that clients may come and go. With a terminal there is no standard error. See the reference on
shims, section 7.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from pycontainerd.client.beside import Beside
from pycontainerd.commands.ctr.container.fifos import is_fifo, make_fifos, remove_fifos
from pycontainerd.commands.ctr.container.output import CHUNK, Output
from pycontainerd.errors import InvalidArgument
from pycontainerd.rpc.blocking_driver import BlockingDriver


class Stdio:
    """The three streams of a process by the names that the shim gets."""

    __slots__ = ("stderr", "stdin", "stdout", "terminal")

    def __init__(self, stdin: str = "", stdout: str = "", stderr: str = "", *, terminal: bool = False) -> None:
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self.terminal = terminal

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
        streams = ("stdin", "stdout") if terminal else ("stdin", "stdout", "stderr")
        return cls(*make_fifos(parent, [f"{name}-{stream}" for stream in streams]), terminal=terminal)

    def remove(self) -> None:
        """Removes the fifos; the directory too, if it holds nothing else."""
        remove_fifos(self.stdin, self.stdout, self.stderr)


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
        self._outputs: list[Output] = []
        self._input = -1
        self._reading = Beside(driver)
        self._writing = Beside(driver)

    async def __aenter__(self) -> Self:
        for path, target in ((self._stdio.stdout, 1), (self._stdio.stderr, 2)):
            if is_fifo(path):
                # Without a writer this neither blocks nor is at its end: poll(2) waits for the first one.
                source = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                self._outputs.append(Output(self._driver, source, target))
        if is_fifo(self._stdio.stdin):
            # With O_RDWR, since for writing alone a fifo that nobody reads yet can't be opened.
            self._input = os.open(self._stdio.stdin, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        return self

    def start(self) -> None:
        """Begins to copy; to be called when the shim has opened its ends."""
        for output in self._outputs:
            self._writing.start(output.copy(), name=f"copy to {output.target}")
        if self._input >= 0:
            self._reading.start(self._copy_in(), name="copy stdin")

    async def drain(self) -> None:
        """Copies what is left of the output, up to its end; for after the process has ended."""
        await self._reading.__aexit__(None, None, None)
        for output in self._outputs:
            output.process_has_ended()
        await self._writing.ended()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._reading.__aexit__(kind, error, trace)
            await self._writing.__aexit__(kind, error, trace)
        finally:
            for output in self._outputs:
                os.close(output.source)
            self._close_input()

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
