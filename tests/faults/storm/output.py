"""The reading end of a container's output, as a client has it: a fifo of its own."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path


class Output:
    """What a container prints, collected as it comes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = b""
        self._news = asyncio.Event()
        os.mkfifo(path, 0o700)
        self._open()

    async def until(self, text: bytes) -> None:
        """Waits until *text* was printed."""
        while text not in self.content:
            self._news.clear()
            await self._news.wait()

    def close(self) -> None:
        """Stops reading and removes the fifo. What was written is read first."""
        self._read()
        self._forget()
        self.path.unlink()

    def _open(self) -> None:
        self._fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def _forget(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)

    def _read(self) -> None:
        try:
            while part := os.read(self._fd, 65536):
                self.content += part
                self._news.set()
        except BlockingIOError:
            return
        # All writers have gone. The shim of a second try will be another: it is waited for with a new descriptor.
        self._forget()
        self._open()
