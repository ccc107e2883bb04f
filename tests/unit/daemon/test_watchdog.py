"""How the delay of the loop is counted."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from pycontainerd.daemon.watchdog import INTERVAL_S, LoopWatchdog


class Loop:
    """A loop whose clock a test turns."""

    def __init__(self) -> None:
        self.now = 100.0
        self.calls: list[tuple[float, Any, tuple[Any, ...]]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Any, *arguments: Any) -> None:
        self.calls.append((when, callback, arguments))

    def run_late(self, late_s: float) -> None:
        when, callback, arguments = self.calls.pop()
        self.now = when + late_s
        callback(*arguments)


def test_the_delay_of_each_sample_is_counted() -> None:
    loop = Loop()
    watchdog = LoopWatchdog(cast("asyncio.AbstractEventLoop", loop))
    watchdog.start()
    for late_s in [0.0005] * 98 + [0.004, 3.0]:
        loop.run_late(late_s)
    assert sum(watchdog.counts) == 100
    assert watchdog.quantile(0.5) == 0.001
    assert watchdog.quantile(0.99) == 0.005
    assert watchdog.quantile(1.0) == watchdog.worst_s == pytest.approx(3.0)
    assert loop.calls[0][0] == loop.now + INTERVAL_S


def test_without_samples_there_is_no_delay() -> None:
    assert LoopWatchdog(cast("asyncio.AbstractEventLoop", Loop())).quantile(0.99) == 0.0
