"""What both ends of a ttrpc connection do alike: keep the transport, obey its brakes, brake the peer."""

from __future__ import annotations

from typing import Final

from pycontainerd.errors import Unknown
from pycontainerd.rpc.driver import Driver, Transport, Waiter
from pycontainerd.rpc.ttrpc.frames import FrameDecoder

CLOSED_TEXT: Final = "ttrpc: closed"


class ConnectionClosed(Unknown):
    """The other end is gone: nothing is known of what was asked."""

    def __init__(self, message: str = CLOSED_TEXT, *, hint: str = "", bare: bool = False) -> None:
        super().__init__(message, hint=hint, bare=bare)


class Link:
    """One end of a connection as its driver sees it."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self._transport: Transport | None = None
        self._decoder = FrameDecoder()
        self._full_inboxes = 0
        self._paused = False
        self._waiting: list[Waiter[None]] = []
        self.closed = False

    def connected(self, transport: Transport) -> None:
        self._transport = transport

    def abort(self) -> None:
        """Cuts the connection."""
        if self._transport is not None:
            self._transport.abort()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.set(None)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self.closed:
            self._transport.write(data)

    async def _writable(self) -> None:
        """Waits until the transport's queue is short. Raises ConnectionClosed when the connection is lost."""
        while self._paused:
            waiter = self.driver.waiter()
            self._waiting.append(waiter)
            await waiter
        if self.closed:
            raise ConnectionClosed

    def _inbox_changed(self, change: int) -> None:
        self._full_inboxes += change
        if self._transport is None or self.closed:
            return
        if change > 0 and self._full_inboxes == 1:
            self._transport.pause_reading()
        elif change < 0 and self._full_inboxes == 0:
            self._transport.resume_reading()

    def _end(self) -> None:
        self.closed = True
        self._transport = None
        self.resume_writing()
