"""What a peer may still send: windows given to it, and how they are opened again."""

from __future__ import annotations

from collections.abc import Callable

from pycontainerd.rpc.http2 import frames
from pycontainerd.rpc.http2.frames import ErrorCode, ProtocolError
from pycontainerd.rpc.http2.limits import Limits
from pycontainerd.rpc.http2.stream import Stream


class Inbound:
    """The windows of the receiving half, in bytes.

    A stream's window opens as its data is read. The connection's opens as data comes, so that one slow reader does
    not stop the others, until more lies unread than the limit allows.
    """

    __slots__ = ("_control", "_held", "_limits", "_unacknowledged", "_window")

    def __init__(self, limits: Limits, control: Callable[[bytes], None]) -> None:
        self._limits = limits
        self._control = control
        self._window = limits.connection_window
        self._unacknowledged = 0
        self._held = 0

    def arrived(self, size: int) -> None:
        """*size* bytes of data came, of whatever stream. Raises ProtocolError when they were too many."""
        self._window -= size
        self._unacknowledged += size
        if self._window < 0:
            raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "data over the window of the connection")

    def hold(self, stream: Stream, size: int) -> bool:
        """The data is *stream*'s and not yet read; False when it was over the window of the stream."""
        stream.receive_window -= size
        stream.held += size
        self._held += size
        return stream.receive_window >= 0

    def consume(self, stream: Stream, size: int) -> None:
        """*size* bytes of the stream were read."""
        if stream.held < size:  # it was dropped meanwhile
            return
        stream.held -= size
        self._held -= size
        if not stream.remote_closed:
            stream.unacknowledged += size
            if stream.unacknowledged * 2 >= self._limits.stream_window:
                self._control(frames.window_update(stream.id, stream.unacknowledged))
                stream.receive_window += stream.unacknowledged
                stream.unacknowledged = 0
        self.open()

    def drop(self, stream: Stream) -> None:
        """Nobody will read the stream."""
        self._held -= stream.held
        stream.held = 0

    def open(self) -> None:
        """Opens the window of the connection if it is half used."""
        if self._unacknowledged * 2 >= self._limits.connection_window and self._held <= self._limits.held:
            self._control(frames.window_update(0, self._unacknowledged))
            self._window += self._unacknowledged
            self._unacknowledged = 0
