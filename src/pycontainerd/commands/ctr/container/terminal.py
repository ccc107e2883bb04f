"""Our own terminal, lent to a process of a container."""

from __future__ import annotations

import os
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

from pycontainerd.errors import FailedPrecondition


def own_terminal() -> int:
    """The first of our standard streams that is a terminal. Raises FailedPrecondition if none is."""
    for descriptor in (2, 1, 0):
        if os.isatty(descriptor):
            return descriptor
    raise FailedPrecondition(
        "--tty: none of standard input, output and error is a terminal", hint="leave --tty out", bare=True
    )


@contextmanager
def raw_terminal() -> Iterator[int]:
    """The terminal in raw mode for the length of the block, as it was afterwards."""
    descriptor = own_terminal()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor, termios.TCSANOW)
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)


def size_of(descriptor: int) -> tuple[int, int]:
    """Columns and lines of a terminal."""
    size = os.get_terminal_size(descriptor)
    return size.columns, size.lines
