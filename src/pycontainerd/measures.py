"""What parts of the daemon count of themselves, as values; a server writes them down for who asks.

A plugin instance that counts has a method `measures() -> Iterable[Metric]`, which may be a coroutine.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from typing import Final

from msgspec import Struct, field

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of buckets of durations; those of Prometheus' own libraries."""


class Sample(Struct, frozen=True):
    """One value: its labels, and what is appended to the name of its metric (`_bucket`, `_sum`)."""

    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    suffix: str = ""


class Metric(Struct, frozen=True):
    """A metric with its samples; *kind* is counter, gauge or histogram."""

    name: str
    kind: str
    help: str
    samples: tuple[Sample, ...]


class Histogram:
    """Counts durations by upper bounds, in seconds."""

    __slots__ = ("_bounds", "_counts", "count", "total_s")

    def __init__(self, bounds: tuple[float, ...] = SECONDS) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.count = 0
        self.total_s = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self.count += 1
        self.total_s += seconds

    def samples(self) -> tuple[Sample, ...]:
        """The buckets, each with what lies below it as well, then the sum and the count."""
        found, below = [], 0
        for bound, count in zip((*map(_number, self._bounds), "+Inf"), self._counts, strict=True):
            below += count
            found.append(Sample(below, {"le": bound}, "_bucket"))
        return (*found, Sample(self.total_s, suffix="_sum"), Sample(self.count, suffix="_count"))


def _number(bound: float) -> str:
    return f"{bound:g}"
