"""Our own signals, handed to a coroutine."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager

from pycontainerd.rpc.blocking_driver import BlockingDriver

# Not for us to catch, or nothing that the process should hear of: SIGPIPE is an error of our own writing,
# SIGCHLD is about children that we don't have, SIGURG is the original's own.
_KEPT = {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE, signal.SIGCHLD, signal.SIGURG}

FORWARDED = frozenset(number for number in signal.valid_signals() if number not in _KEPT)


@contextmanager
def caught(numbers: Iterable[int]) -> Iterator[int]:
    """Signals *numbers* come as bytes on the descriptor that the block gets, instead of ending us."""
    receiver, sender = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    before = {}
    old_sender = signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
    try:
        for number in numbers:
            before[number] = signal.signal(number, _noted)
        yield receiver
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(old_sender)
        os.close(receiver)
        os.close(sender)


def _noted(number: int, frame: object) -> None:
    """What matters is the byte that the interpreter writes."""


async def arriving(driver: BlockingDriver, receiver: int) -> AsyncIterator[int]:
    """The numbers of the signals that arrive, without end."""
    while True:
        await driver.readable(receiver)
        for number in os.read(receiver, 256):
            yield number
