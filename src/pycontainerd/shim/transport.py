"""Unix stream sockets on the shim's loop: `rpc.driver.Transport` and where connections come from."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from pycontainerd.rpc.driver import Connection, Peer
from pycontainerd.shim.loop import Loop

READ_SIZE: Final = 64 << 10
HIGH_WATER: Final = 256 << 10
LOW_WATER: Final = 64 << 10

PAUSE_S: Final = 0.1
"""How long nobody is accepted when there is no descriptor or no memory for it."""

_SHORT: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_UCRED: Final = struct.Struct("iII")


class UnixTransport:
    """One connected socket; tells its connection what happens."""

    __slots__ = ("_closing", "_connection", "_fd", "_loop", "_paused", "_queue", "_queued", "_socket")

    def __init__(self, loop: Loop, connected: socket.socket, connection: Connection) -> None:
        connected.setblocking(False)
        self._loop = loop
        self._socket = connected
        self._fd = connected.fileno()
        self._connection = connection
        self._queue: deque[memoryview] = deque()
        self._queued = 0
        self._paused = False
        self._closing = False
        loop.watch_read(self._fd, self._readable)
        connection.connected(self)

    @property
    def peer(self) -> Peer | None:
        return peer_of(self._socket)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing:
            return
        view = memoryview(data)
        if not self._queue:
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                pass
            except OSError as error:
                self._lose(error)
                return
        if view:
            self._queue.append(view)
            self._queued += len(view)
            self._loop.watch_write(self._fd, self._writable)
            if self._queued > HIGH_WATER and not self._paused:
                self._paused = True
                self._connection.pause_writing()

    def writelines(self, pieces: Sequence[bytes | bytearray | memoryview]) -> None:
        for piece in pieces:
            self.write(piece)

    def close(self) -> None:
        if self._closing:
            return
        self._closing = True
        if not self._queue:
            self._lose(None)

    def abort(self) -> None:
        self._lose(None)

    def pause_reading(self) -> None:
        if self._fd >= 0:
            self._loop.watch_read(self._fd, None)

    def resume_reading(self) -> None:
        if self._fd >= 0:
            self._loop.watch_read(self._fd, self._readable)

    def _readable(self) -> None:
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        if data:
            try:
                self._connection.received(data)
            except Exception as error:  # noqa: BLE001 - this peer can't be talked to any more; the others can
                self._loop.report("connection", error)
                self._lose(None)
        else:
            self._lose(None)

    def _writable(self) -> None:
        try:
            while self._queue:
                view = self._queue[0]
                sent = self._socket.send(view)
                self._queued -= sent
                if sent < len(view):
                    self._queue[0] = view[sent:]
                    break
                self._queue.popleft()
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        if not self._queue:
            self._loop.watch_write(self._fd, None)
            if self._closing:
                self._lose(None)
                return
        if self._paused and self._queued < LOW_WATER:
            self._paused = False
            self._connection.resume_writing()

    def _lose(self, error: OSError | None) -> None:
        if self._fd < 0:
            return
        self._loop.forget(self._fd)
        self._fd = -1
        self._closing = True
        self._queue.clear()
        self._socket.close()
        self._connection.lost(error)


class Listener:
    """Accepts connections on a listening socket, each with a connection of its own from *factory*."""

    def __init__(self, loop: Loop, listening: socket.socket, factory: Callable[[], Connection]) -> None:
        listening.setblocking(False)
        self._loop = loop
        self._socket = listening
        self._factory = factory
        loop.watch_read(listening.fileno(), self._acceptable)

    def _acceptable(self) -> None:
        try:
            connected, _ = self._socket.accept()
        except OSError as error:
            if error.errno in _SHORT:
                self._pause()
            return  # else it was gone before it was accepted; see accept(2)
        try:
            UnixTransport(self._loop, connected, self._factory())
        except Exception as error:  # noqa: BLE001 - the next one may fare better
            self._loop.report("accepted connection", error)
            self._loop.forget(connected.fileno())
            connected.close()

    def _pause(self) -> None:
        """Lets who waits wait: asked again at once, the loop would turn for nothing until a descriptor is free."""
        self._loop.watch_read(self._socket.fileno(), None)
        self._loop.call_later(PAUSE_S, self._go_on)

    def _go_on(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.watch_read(self._socket.fileno(), self._acceptable)

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.forget(self._socket.fileno())
            self._socket.close()


def connect_unix(loop: Loop, path: str, connection: Connection) -> UnixTransport:
    """Connects to the unix socket *path*; a name that begins with @ is abstract. Never waits. Raises OSError."""
    connecting = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        connecting.setblocking(False)
        connecting.connect("\0" + path[1:] if path.startswith("@") else path)
    except BaseException:
        connecting.close()
        raise
    return UnixTransport(loop, connecting, connection)


def peer_of(connected: socket.socket) -> Peer | None:
    """Who is at the other end; see SO_PEERCRED in unix(7)."""
    data = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return Peer(*_UCRED.unpack(data))


def remove_socket(path: str) -> None:
    """Removes a socket file; it may be gone."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
