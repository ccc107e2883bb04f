"""How sizes, ages, times and labels are written."""

from __future__ import annotations

import time

from pycontainerd.commands.ctr.logs import local_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from google.protobuf.timestamp_pb2 import Timestamp

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")
_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB")
_DAY, _WEEK, _MONTH, _YEAR = 24, 24 * 7, 24 * 30, 24 * 365


def binary_size(size: float) -> str:
    """*size* in bytes, to one decimal of a unit of 1024: `1008.7 KiB`."""
    unit = 0
    while size >= 1024 and unit < len(_BINARY) - 1:
        size /= 1024
        unit += 1
    return f"{size:.1f} {_BINARY[unit]}"


def decimal_size(size: float, digits: int = 4) -> str:
    """*size* in bytes, to *digits* of a unit of 1000: `1.032MB`."""
    unit = 0
    while size >= 1000 and unit < len(_DECIMAL) - 1:
        size /= 1000
        unit += 1
    return f"{size:.{digits}g}{_DECIMAL[unit]}"


def age(seconds: float) -> str:
    """How long ago, for people: `About a minute`."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    minutes = int(seconds / 60)
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    return _age_in_hours(seconds / 3600)


def _age_in_hours(exact: float) -> str:
    hours = int(exact + 0.5)
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for limit, length, word in (
        (2 * _WEEK, _DAY, "days"),
        (2 * _MONTH, _WEEK, "weeks"),
        (2 * _YEAR, _MONTH, "months"),
    ):
        if hours < limit:
            return f"{hours // length} {word}"
    return f"{int(exact) // _YEAR} years"


def age_of(stamp: Timestamp) -> str:
    """The age of what was made at *stamp*."""
    return age(time.time() - stamp.seconds - stamp.nanos / 1e9)


def _fraction(nanos: int) -> str:
    return f".{nanos:09d}".rstrip("0").rstrip(".")


_YEAR_ONE = -62135596800


def rfc3339_nano(stamp: Timestamp) -> str:
    """UTC, with as much of the fraction as there is. A stamp that was never set is the year 1."""
    return f"{_clock(stamp, 'T')}Z"


def go_time(stamp: Timestamp) -> str:
    """As Go prints a time: `2026-11-24 03:55:03.364129683 +0000 UTC`."""
    return f"{_clock(stamp, ' ')} +0000 UTC"


def _clock(stamp: Timestamp, between: str) -> str:
    if stamp.seconds <= _YEAR_ONE:
        return f"0001-01-01{between}00:00:00"
    moment = time.gmtime(stamp.seconds)
    day = f"{moment.tm_year:04d}-{moment.tm_mon:02d}-{moment.tm_mday:02d}"
    return f"{day}{between}{moment.tm_hour:02d}:{moment.tm_min:02d}:{moment.tm_sec:02d}{_fraction(stamp.nanos)}"


def local_seconds(stamp: Timestamp) -> str:
    """RFC 3339 to the second, in the local zone."""
    return local_time(stamp.seconds)


def labels_text(labels: Mapping[str, str], empty: str = "-") -> str:
    """`k=v` joined by commas, in the order of these texts."""
    return ",".join(sorted(f"{key}={value}" for key, value in labels.items())) or empty


def parse_labels(words: Iterable[str], *, bare: str = "true") -> dict[str, str]:
    """The labels that arguments mean: `k=v`; a bare `k` means *bare*."""
    labels = {}
    for word in words:
        key, equals, value = word.partition("=")
        labels[key] = value if equals else bare
    return labels
