"""How much of everything a peer may use, and how often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

KIB: Final = 1024
MIB: Final = 1024 * KIB


class Limits(NamedTuple):
    """Bounds of one connection; sizes in bytes."""

    stream_window: int = 1 * MIB
    """What a peer may send of one stream before someone reads it."""
    connection_window: int = 16 * MIB
    """What a peer may send of all streams together; every connection begins with 65,535, so no less than that."""
    held: int = 64 * MIB
    """What may lie unread in all streams together before the connection's window is no longer opened."""
    max_frame: int = 256 * KIB
    header_list: int = 64 * KIB
    """Header fields of one call: their compressed bytes, and their plain ones with 32 more for each field."""
    concurrent_streams: int = 100_000
    """Calls open at once. Clients of the original keep one open for each container that they wait for."""
    control_burst: int = 10_000
    control_per_s: float = 1_000.0
    """Frames that move nothing: pings, settings, priorities, empty data, windows opened by crumbs."""
    reset_burst: int = 5_000
    reset_per_s: float = 500.0
    """Calls that the peer begins and resets before they end."""
    unsent_control: int = 1 * MIB
    """Answers to control frames that may wait for a peer that does not read them: more end the connection."""
    unsent_heads: int = 1 * MIB
    """Heads and ends of calls that may wait for such a peer before nothing more is read from it."""


class Budget:
    """A number of things that may happen: so many at once, so many more each second."""

    __slots__ = ("_burst", "_clock", "_left", "_per_s", "_since")

    def __init__(self, burst: int, per_s: float, clock: Callable[[], float]) -> None:
        self._burst = burst
        self._per_s = per_s
        self._clock = clock
        self._left: float = burst
        self._since = clock()

    def spend(self, units: int = 1) -> bool:
        """Takes *units*; False when there are not so many left."""
        if self._left < units:
            now = self._clock()
            self._left = min(self._burst, self._left + (now - self._since) * self._per_s)
            self._since = now
            if self._left < units:
                return False
        self._left -= units
        return True
