"""What is kept of processes that ended: a file in the bundle that outlives the shim.

    <bundle>/exits.jsonl   0600, one JSON object a line, only ever appended to or replaced as a whole
        {"id":"c1","pid":7,"status":3,"at_ns":1700000000000000000}      a process ended; id = container or exec id
        {"id":"c1","delivered":true}                                    the daemon has taken the exit event
        {"id":"e1","removed":true}                                      the exec was deleted

The shim writes the first kind before it tells anyone. Who has seen the event through (the shim when Forward was
answered, the daemon when it sent the event itself after a restart) appends the second. A line is written by one
write(2) under a lock; a torn last line, which only a crash of the machine can leave, is passed over.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

NAME: Final = "exits.jsonl"
COMPACT_SIZE: Final = 64 << 10
"""Bytes at which a file is rewritten without what is no longer told."""


class ExitRecord(NamedTuple):
    """How a process ended: status as a shell counts it, time in nanoseconds since 1970."""

    id: str
    pid: int
    status: int
    at_ns: int
    delivered: bool = False


def read(bundle: str) -> dict[str, ExitRecord]:
    """The exits that are known of a bundle, by container or exec id. Nothing if none were written."""
    try:
        with open(os.path.join(bundle, NAME), "rb", buffering=0) as file:
            return _parse(file.read())
    except FileNotFoundError:
        return {}


def write(bundle: str, record: ExitRecord) -> None:
    """Keeps that a process has ended. Raises OSError; FileNotFoundError if the bundle is gone."""
    _append(bundle, _line(record))


def mark_delivered(bundle: str, id_: str) -> None:
    """Keeps that the exit event of *id_* has been taken. Nothing happens if the bundle is gone."""
    with contextlib.suppress(FileNotFoundError):
        _append(bundle, {"id": id_, "delivered": True})


def remove(bundle: str, id_: str) -> None:
    """Forgets a process that was deleted. Nothing happens if the bundle is gone."""
    with contextlib.suppress(FileNotFoundError):
        _append(bundle, {"id": id_, "removed": True})


def _line(record: ExitRecord) -> dict[str, Any]:
    return {key: value for key, value in record._asdict().items() if key != "delivered" or value}


def _parse(data: bytes) -> dict[str, ExitRecord]:
    records: dict[str, ExitRecord] = {}
    for raw in data.splitlines():
        try:
            line = json.loads(raw)
            id_ = line["id"]
            if line.get("removed"):
                records.pop(id_, None)
            elif "status" in line:
                records[id_] = ExitRecord(**line)
            elif id_ in records:
                records[id_] = records[id_]._replace(delivered=True)
        except (ValueError, TypeError, KeyError):
            continue
    return records


def _encoded(line: dict[str, Any]) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def _append(bundle: str, line: dict[str, Any]) -> None:
    path = os.path.join(bundle, NAME)
    with _locked(path) as descriptor:
        os.write(descriptor, _encoded(line))
        if os.fstat(descriptor).st_size > COMPACT_SIZE:
            _compact(path, descriptor)


def _compact(path: str, descriptor: int) -> None:
    """Replaces the locked file by one that has what is still told, unless that is most of it."""
    size = os.fstat(descriptor).st_size
    data = b"".join(_encoded(_line(record)) for record in _parse(os.pread(descriptor, size, 0)).values())
    if len(data) > size // 2:
        return
    with open(os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    os.rename(f"{path}.new", path)


@contextlib.contextmanager
def _locked(path: str) -> Iterator[int]:
    """The file, open and locked: the one that is there now, not one that was replaced while we waited."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_current(path, descriptor):
                yield descriptor
                return
        finally:
            os.close(descriptor)


def _is_current(path: str, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
