"""Durations as the configuration writes them: Go's syntax, `1h30m`, `500ms`, `0`.

A key that takes a duration has the type `Duration` in its plugin's struct; it counts nanoseconds.
"""

from __future__ import annotations

import re
from typing import Final, Self

from pycontainerd.errors import InvalidArgument

_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART: Final = re.compile(r"(\d*)(?:\.(\d*))?([^\d.]*)")
_LIMIT: Final = 1 << 63


class Duration(int):
    """A span of time in nanoseconds; prints as Go prints it."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The duration that *text* writes. Raises InvalidArgument with the words of Go's time package."""
        unsigned = text[1:] if text[:1] in ("-", "+") else text
        if unsigned == "0":
            return cls(0)
        if not unsigned:
            raise InvalidArgument(f'time: invalid duration "{text}"', bare=True)
        total, position = 0, 0
        while position < len(unsigned):
            match = _PART.match(unsigned, position)
            if match is None or not (match[1] or match[2]):
                raise InvalidArgument(f'time: invalid duration "{text}"', bare=True)
            total += _nanoseconds(text, match)
            position = match.end()
        negative = text.startswith("-")
        if total > (_LIMIT if negative else _LIMIT - 1):
            raise InvalidArgument(f'time: invalid duration "{text}"', bare=True)
        return cls(-total if negative else total)

    @property
    def seconds(self) -> float:
        """The span in seconds."""
        return int(self) / 1_000_000_000

    def __str__(self) -> str:
        nanoseconds = abs(int(self))
        sign = "-" if self < 0 else ""
        if nanoseconds < 1_000_000_000:
            return sign + _below_a_second(nanoseconds)
        minutes, rest = divmod(nanoseconds, _UNITS["m"])
        hours, minutes = divmod(minutes, 60)
        seconds = f"{_decimal(rest, _UNITS['s'])}s"
        if hours:
            return f"{sign}{hours}h{minutes}m{seconds}"
        return f"{sign}{minutes}m{seconds}" if minutes else sign + seconds

    def __repr__(self) -> str:
        return f"Duration.parse({str(self)!r})"


def _nanoseconds(text: str, match: re.Match[str]) -> int:
    whole, fraction, unit = match[1], match[2] or "", match[3]
    if not unit:
        raise InvalidArgument(f'time: missing unit in duration "{text}"', bare=True)
    if unit not in _UNITS:
        raise InvalidArgument(f'time: unknown unit "{unit}" in duration "{text}"', bare=True)
    scale = _UNITS[unit]
    return int(whole or "0") * scale + (int(fraction) * scale // 10 ** len(fraction) if fraction else 0)


def _below_a_second(nanoseconds: int) -> str:
    if not nanoseconds:
        return "0s"
    for unit in ("ms", "µs"):
        if nanoseconds >= _UNITS[unit]:
            return _decimal(nanoseconds, _UNITS[unit]) + unit
    return f"{nanoseconds}ns"


def _decimal(value: int, scale: int) -> str:
    whole, rest = divmod(value, scale)
    digits = f"{rest:0{len(str(scale)) - 1}d}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
