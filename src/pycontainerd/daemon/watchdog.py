"""How late the loop is: a sample four times a second, counted in buckets."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from typing import Final

INTERVAL_S: Final = 0.25
BOUNDS_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Upper bounds of the buckets, in seconds; one more is above the last."""


class LoopWatchdog:
    """Counts how late calls of *loop* are. Aim: 99 of 100 less than 5 ms."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.worst_s = 0.0

    def start(self) -> None:
        due = self._loop.time() + INTERVAL_S
        self._timer = self._loop.call_at(due, self._sample, due)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _sample(self, due: float) -> None:
        late = max(0.0, self._loop.time() - due)
        self.counts[bisect_left(BOUNDS_S, late)] += 1
        self.worst_s = max(self.worst_s, late)
        self.start()

    def quantile(self, part: float) -> float:
        """A bound, in seconds, that *part* (0 to 1) of the samples stayed below; 0 without samples."""
        wanted, seen = part * sum(self.counts), 0
        for bound, count in zip((*BOUNDS_S, self.worst_s), self.counts, strict=True):
            seen += count
            if seen and seen >= wanted:
                return bound
        return 0.0
