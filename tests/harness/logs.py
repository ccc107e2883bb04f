"""Reading log files in the format of Kubernetes, strictly."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

_RECORD: Final = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) (stdout|stderr) ([FP]) (.*)", re.DOTALL)


class Record(NamedTuple):
    """One line of a log, without its time."""

    stream: str
    tag: str
    text: bytes


def records(path: Path) -> list[Record]:
    """All records of a log. Fails if the last one is not whole, if one can't be read, or if time goes back."""
    data = path.read_bytes()
    assert data.endswith(b"\n") or not data, f"cut off: {data[-100:]!r}"
    found, before = [], b""
    for line in data.split(b"\n")[:-1]:
        match = _RECORD.fullmatch(line)
        assert match is not None, line
        stamp, stream, tag, text = match.groups()
        assert stamp >= before
        before = stamp
        found.append(Record(stream.decode(), tag.decode(), text))
    return found
