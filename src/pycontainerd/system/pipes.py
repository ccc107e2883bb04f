"""Pipes whose ends have one owner each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


class End:
    """One end of a pipe, closed once."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


@contextmanager
def pipe() -> Iterator[tuple[End, End]]:
    """The reading and the writing end of a new pipe; what is still open of them is closed with the block."""
    reading, writing = map(End, os.pipe())
    try:
        yield reading, writing
    finally:
        reading.close()
        writing.close()
