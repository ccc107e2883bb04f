"""One stream of a process, from its fifo to one of our own streams.

The kernel moves the pages by itself where it can: splice(2) works from a fifo into pipes, sockets, devices and files,
but not into files that are opened to append. What goes to a terminal is copied: it would make a splice wait.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress

from pycontainerd.rpc.blocking_driver import BlockingDriver, BlockingWaiter

CHUNK = 32 * 1024
SAFE_WRITE = 4096
"""Bytes that a pipe takes at once when poll(2) calls it writable: PIPE_BUF."""

PIPE_SIZE = 1 << 20
"""Bytes that the fifo may hold while we copy: what is moved at once, and with it how often we wake up."""

TURNS = 16
"""Moves in a row before others have their turn."""


class Output:
    """Copies a stream until its end. *source* is closed by whoever has opened it."""

    def __init__(self, driver: BlockingDriver, source: int, target: int) -> None:
        self._driver = driver
        self._ending = False
        self._ready: BlockingWaiter | None = None
        self._spliced = not os.isatty(target)
        self.source = source
        self.target = target
        with suppress(OSError):  # the limit of the user: it is slower then
            fcntl.fcntl(source, fcntl.F_SETPIPE_SZ, PIPE_SIZE)

    def process_has_ended(self) -> None:
        """From now on a fifo without a writer is at its end, also one that never had a writer."""
        self._ending = True
        if self._ready is not None:
            self._ready.set(None)

    async def copy(self) -> None:
        """Copies to the end. Never given up between reading and writing, unless the whole is."""
        waited = self._ending
        while True:
            if not waited:
                await self._readable()
            try:
                if await (self._splice() if self._spliced else self._copy()):
                    return
            except BlockingIOError:
                waited = False
            else:
                waited = self._ending

    async def _splice(self) -> bool:
        """Moves what is there; True at the end. Raises BlockingIOError if nothing is."""
        await self._driver.writable(self.target)
        try:
            for _ in range(TURNS):
                if not os.splice(self.source, self.target, PIPE_SIZE, flags=os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE):
                    return True
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._spliced = False
        return False

    async def _copy(self) -> bool:
        """As `_splice`, through our memory."""
        data = memoryview(os.read(self.source, CHUNK))
        ended = not data
        while data:
            await self._driver.writable(self.target)
            data = data[os.write(self.target, data[:SAFE_WRITE]) :]
        return ended

    async def _readable(self) -> None:
        self._ready = ready = self._driver.waiter()
        self._driver.watch(self.source, read=lambda: ready.set(None))
        try:
            await ready
        finally:
            self._ready = None
            self._driver.watch(self.source)
