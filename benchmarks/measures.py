"""How the benchmarks count: pairs in alternation, medians, ratios; memory as the kernel accounts it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MILLI: Final = 1000.0


@dataclass(frozen=True, slots=True)
class Pair:
    """The same thing measured of ours and of stock, in the same run, in turn."""

    what: str
    unit: str
    ours: tuple[float, ...]
    stock: tuple[float, ...]
    aim: str = ""
    more_is_better: bool = False

    @property
    def ratio(self) -> float:
        """Median of ours by median of stock."""
        return statistics.median(self.ours) / statistics.median(self.stock)

    def row(self) -> str:
        """A line of the report's table."""
        figures = (
            f"{statistics.median(side):.3g} ({min(side):.3g} to {max(side):.3g})" for side in (self.ours, self.stock)
        )
        ratio = f"{self.ratio:.2f}" if any(self.stock) else "-"
        return f"| {self.what} | {self.unit} | {' | '.join(figures)} | {ratio} | {self.aim} |"


HEADER: Final = (
    "| what | unit | ours, median (min to max) | stock | ours / stock | aim |\n| --- | --- | --- | --- | --- | --- |"
)


def in_turn(
    first: Callable[[], float], second: Callable[[], float], runs: int, warmup: int = 1
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Measures both *runs* times, one after the other, so that a drift of the machine meets both."""
    for _ in range(warmup):
        first(), second()
    pairs = [(first(), second()) for _ in range(runs)]
    return tuple(a for a, _ in pairs), tuple(b for _, b in pairs)


def seconds(action: Callable[[], object]) -> float:
    """Wall time of *action*."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def percentile(samples: Sequence[float], share: float) -> float:
    """The value below which *share* of the samples lie."""
    return sorted(samples)[min(len(samples) - 1, int(len(samples) * share))]


def memory_kib(pid: int, field: str) -> int:
    """A line of /proc/PID/smaps_rollup in KiB: `Pss`, `Rss`, `Private_Dirty` …; see proc(5)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == field:
            return int(rest.split()[0])
    raise ValueError(f"process {pid}: smaps_rollup has no {field}")
