"""A terminal: runc makes it in the container and sends us its other side over a socket."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import socket
import struct
import termios
from typing import Final

from pycontainerd.errors import Unknown
from pycontainerd.shim.coroutines import LoopWaiter
from pycontainerd.shim.journal import Journal
from pycontainerd.shim.logs.record import STDOUT
from pycontainerd.shim.loop import Loop
from pycontainerd.shim.spawn import why
from pycontainerd.shim.stdio import pump, uri
from pycontainerd.shim.stdio.logger import Logger
from pycontainerd.shim.stdio.pipes import open_destination, open_log, open_log_file
from pycontainerd.shim.stdio.streams import Destination, Streams, creating
from pycontainerd.system.socket import receive_with_fds

CONSOLE_S: Final = 30.0
"""How long runc may take to send the terminal."""

_WINDOW: Final = struct.Struct("HHHH")


class TerminalStreams(Streams):
    """A terminal whose output goes to a fifo, a file or a logging program, and whose input comes from a fifo."""

    def __init__(
        self, loop: Loop, journal: Journal, request: uri.Request, logger: Logger | None, runtime_directory: str
    ) -> None:
        super().__init__(loop, journal)
        self._request = request
        self._logger = logger
        self._destination: Destination | None = None
        self._stdin_fifo = -1
        self._master = -1
        self._directory = _private_directory(runtime_directory)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self._socket.bind(self.console_socket)
        self._socket.listen(1)

    @property
    def console_socket(self) -> str:
        return os.path.join(self._directory, "pty.sock")

    async def open(self, target: uri.Target, process: str, namespace: str) -> None:
        """Opens the client's ends, or starts the logging program. Raises Unknown."""
        with creating():
            if self._logger is not None:
                await self._open_logger(self._logger, process, namespace)
            elif target.scheme == uri.CRI_LOG:
                open_log(self, target, STDOUT)
            elif target.scheme == uri.FILE:
                self._destination = open_log_file(self, target.path)
        if self._request.stdin:
            self._stdin_fifo = self.open_stdin(uri.parse(self._request.stdin).path)
        if target.scheme == uri.FIFO and target.path:
            try:
                self._destination = open_destination(self, target.path)
            except OSError as error:
                raise Unknown(f"failed to start console copy: stat {target.path}: {why(error)}") from error

    async def _open_logger(self, logger: Logger, process: str, namespace: str) -> None:
        output, write = self.pipe(0, 0)
        nothing, other = self.pipe(0, 0)
        self.drop(other)
        os.set_blocking(write, False)
        self._destination = Destination(write, is_pipe=True)
        logger.start(output, nothing, process, namespace)
        await logger.ready()
        self.beside(logger.outlived(output), name="logging program")

    async def connected(self) -> None:
        """Takes the terminal that runc has sent. Raises Unknown if none comes in time."""
        received = self.loop.waiter()
        task = self.loop.spawn(self._receive(received), name="console")
        try:
            if not await self.loop.first_within(received, CONSOLE_S):
                raise Unknown("failed to retrieve console master: timed out")
            await received
        finally:
            task.cancel()
            await task.ended
            self._remove_socket()

    async def _receive(self, received: LoopWaiter) -> None:
        try:
            await self.loop.readable(self._socket.fileno())
            connection, _ = self._socket.accept()
            with connection:
                connection.setblocking(False)
                try:
                    await self.loop.readable(connection.fileno())
                    _, descriptors = receive_with_fds(connection, 4096, max_descriptors=1)
                finally:
                    self.loop.forget(connection.fileno())
        except (OSError, ValueError) as error:
            received.fail(Unknown(f"failed to retrieve console master: {error}"))
            return
        if not descriptors:
            received.fail(Unknown("failed to retrieve console master: no descriptor came"))
            return
        self._master = self.own(descriptors[0])
        os.set_blocking(self._master, False)
        received.set(None)

    def _remove_socket(self) -> None:
        if self._socket.fileno() >= 0:
            self.loop.forget(self._socket.fileno())
            self._socket.close()
            shutil.rmtree(self._directory, ignore_errors=True)

    def started(self) -> None:
        super().started()
        if self.log is not None:
            self.pump_to_log({STDOUT: self._master})
        else:
            self._pump()
        if self._stdin_fifo >= 0:
            self.pump_in(self._feed(), self._stdin_fifo, name="stdin")

    def _pump(self) -> None:
        target = self._destination
        if target is None:
            target = Destination(self.own(os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)), is_pipe=False)
        self.pump_out(pump.copy(self.loop, self._master, target.fd), self._master, target, name="terminal")

    async def _feed(self) -> None:
        """Passes input on; when no client can send any more, the terminal hangs up, as a line does."""
        await pump.copy(self.loop, self._stdin_fifo, self._master)
        for task in self._outputs:
            task.cancel()
            await task.ended
        self.drop(self._master)
        self._master = -1

    def resize(self, width: int, height: int) -> None:
        if self._master >= 0:
            try:
                fcntl.ioctl(self._master, termios.TIOCSWINSZ, _WINDOW.pack(height, width, 0, 0))
            except OSError as error:
                if error.errno != errno.EIO:
                    raise

    async def close(self) -> None:
        self._remove_socket()
        await super().close()
        if self._logger is not None:
            with contextlib.suppress(OSError):
                await self._logger.stop()


def _private_directory(parent: str) -> str:
    """A new directory for a socket, short enough for its path."""
    path = f"{parent}/pty{os.urandom(8).hex()}"
    os.mkdir(path, 0o700)
    return path
