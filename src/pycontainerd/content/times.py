"""Times as the original writes them into files: RFC 3339 with as many digits of the second as are needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def format_ns(time_ns: int) -> str:
    """Nanoseconds since 1970 as text, in UTC; `metadata.times.parse_rfc3339` reads it."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    moment = _EPOCH + timedelta(seconds=seconds)
    fraction = f".{nanoseconds:09}".rstrip("0").rstrip(".")
    return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z"
