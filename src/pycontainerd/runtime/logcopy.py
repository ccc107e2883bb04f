"""Copies what shims log into the daemon's own log, line for line as it comes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Final

CHUNK: Final = 64 << 10
"""As much as a pipe holds."""


class LogCopy:
    """The log fifo of one bundle, read while it is open. It owns the descriptor *source*."""

    __slots__ = ("_destination", "_source")

    def __init__(self, source: int, destination: int = 2) -> None:
        self._source = source
        self._destination = destination
        asyncio.get_running_loop().add_reader(source, self._copy)

    def close(self) -> None:
        """Copies what is still there, then closes."""
        if self._source < 0:
            return
        self._copy()
        asyncio.get_running_loop().remove_reader(self._source)
        os.close(self._source)
        self._source = -1

    def _copy(self) -> None:
        # A log that can't be written is no reason to end a container's supervision, and nowhere to say it.
        with contextlib.suppress(OSError):
            os.write(self._destination, os.read(self._source, CHUNK))
