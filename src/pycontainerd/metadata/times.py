"""Times: nanoseconds of the database, Timestamps of the wire, RFC 3339 of labels."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

NS: Final = 1_000_000_000
_LARGEST: Final = 2**63 - 1
_SMALLEST: Final = -(2**63)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d{1,2}):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII
)


def clamped(ns: int) -> int:
    """*ns* as far as a column of 64 bits holds it; clients may send any year."""
    return max(_SMALLEST, min(_LARGEST, ns))


def to_timestamp(ns: int) -> Timestamp:
    """Nanoseconds since 1970 as a message."""
    return Timestamp(seconds=ns // NS, nanos=ns % NS)


def from_timestamp(timestamp: Timestamp) -> int:
    """A message as nanoseconds since 1970, however odd its numbers are."""
    return timestamp.seconds * NS + timestamp.nanos


def parse_rfc3339(text: str) -> int | None:
    """*text* as Go's time.RFC3339 layout reads it, in nanoseconds since 1970; None if it is no such time.

    It is clamped to 64 bits; digits after the ninth of a fraction are cut.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    try:
        moment = datetime(max(year, 1), month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    sign, offset_h, offset_m = match.group(8), int(match.group(9) or 0), int(match.group(10) or 0)
    if offset_h > 24 or offset_m > 60:
        return None
    offset = timedelta(hours=offset_h, minutes=offset_m) * (-1 if sign == "-" else 1)
    whole = (moment - _EPOCH) // timedelta(seconds=1) - int(offset.total_seconds())
    return clamped(whole * NS + int((match.group(7) or "")[:9].ljust(9, "0")))
