"""Times on the wire."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from pycontainerd.shim.process import YEAR_ONE_S


def set_timestamp(field: Timestamp, at_ns: int | None) -> None:
    """Sets *field* to nanoseconds since 1970; None is the year 1, which Go clients read as no time."""
    if at_ns is None:
        field.seconds = YEAR_ONE_S
    else:
        field.seconds, field.nanos = divmod(at_ns, 1_000_000_000)
