"""A clock that tests turn."""

from __future__ import annotations

NS = 1_000_000_000
START_NS = 1_700_000_000 * NS


class ManualClock:
    """Stands still until it is moved."""

    def __init__(self, now_ns: int = START_NS) -> None:
        self._now_ns = now_ns
        self._monotonic = 0.0

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic(self) -> float:
        return self._monotonic

    def forward(self, seconds: float) -> None:
        """Lets *seconds* pass."""
        self._now_ns += round(seconds * NS)
        self._monotonic += seconds
