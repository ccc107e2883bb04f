"""What was tried for a task, in which order, and how it went: a file in its bundle that explains a failure.

    <bundle>/steps.jsonl   0600, one JSON object a line
        {"at_ns":1700000000000000000,"what":"runc create"}                                    begun
        {"at_ns":1700000000000000000,"what":"runc create","took_ns":9000000,"error":"…"}      ended, and how
        {"at_ns":1700000000100000000,"what":"exit c1","took_ns":0,"result":"status 137"}      a moment

The shim writes most of it; the daemon adds what it does itself while there is no shim yet, or none any more. A step
that has a beginning and no end was under way when its writer died. Each line is one write(2) without a sync: what a
crash of the machine takes is of no use after it. A file that grows too large loses its middle: how a task began stays,
and what it did last. Noting never fails: what can't be noted is not noted.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Final

import msgspec

NAME: Final = "steps.jsonl"
SIZE_LIMIT: Final = 32 << 10
HEAD_SIZE: Final = 8 << 10
TAIL_SIZE: Final = 12 << 10
"""Bytes that are kept of the beginning and of the end of a file that has passed its limit."""
TEXT_LIMIT: Final = 2 << 10
"""Characters of an error or a result."""

LEFT_OUT: Final = "(steps left out)"
"""What stands for the middle of a file that has lost it."""

DAEMON: Final = "daemon"
SHIM: Final = "shim"


class Step(msgspec.Struct, omit_defaults=True):
    """One step. Times in nanoseconds, *at_ns* since 1970; without *took_ns* it has not ended."""

    at_ns: int
    what: str
    by: str = SHIM
    took_ns: int | None = None
    result: str = ""
    error: str = ""


_encode: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(Step)


def note(bundle: str, what: str, result: str = "", *, error: str = "", by: str = SHIM) -> None:
    """Notes a moment."""
    append(bundle, [Step(time.time_ns(), what, by, 0, result[:TEXT_LIMIT], error[:TEXT_LIMIT])])


@contextlib.contextmanager
def step(bundle: str, what: str, *, by: str = SHIM) -> Iterator[Step]:
    """Notes that a step begins, and how it has ended when the block has: by an exception, or as the block says."""
    current = Step(time.time_ns(), what, by)
    append(bundle, [current])
    try:
        with ending(current):
            yield current
    finally:
        append(bundle, [current])


@contextlib.contextmanager
def ending(current: Step) -> Iterator[None]:
    """Tells *current* how long the block takes, and what it fails with."""
    begun_ns = time.monotonic_ns()
    try:
        yield
    except BaseException as error:
        current.error = (str(error) or type(error).__name__)[:TEXT_LIMIT]
        raise
    finally:
        current.took_ns = time.monotonic_ns() - begun_ns


def append(bundle: str, steps: Iterable[Step]) -> None:
    """Adds lines to the file of *bundle*."""
    path = os.path.join(bundle, NAME)
    data = _lines(steps)
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, data)
            if os.lseek(descriptor, 0, os.SEEK_CUR) > SIZE_LIMIT:
                _cut(path)
        finally:
            os.close(descriptor)


def write(path: str, steps: Iterable[Step]) -> None:
    """Makes a file of *steps* alone. Raises OSError."""
    _replace(path, _lines(steps))


def read(path: str) -> list[Step]:
    """The steps in a file in the order of their beginnings; nothing if there is no file. A torn line is passed over."""
    try:
        with open(path, "rb", buffering=0) as file:
            return parse(file.read(2 * SIZE_LIMIT))
    except OSError:
        return []


def parse(data: bytes) -> list[Step]:
    """The steps in *data*: of one that has ended, the end alone."""
    steps: dict[tuple[int, str], Step] = {}
    for line in data.splitlines():
        try:
            found = _decoder.decode(line)
        except msgspec.DecodeError:
            continue
        steps[found.at_ns, found.what] = found
    return sorted(steps.values(), key=lambda each: each.at_ns)


def failed(steps: Sequence[Step]) -> bool:
    """Whether any of *steps* went wrong."""
    return any(each.error for each in steps)


def _cut(path: str) -> None:
    """Replaces the file by one without its middle. A line that somebody else adds in this moment may be lost."""
    with open(path, "rb", buffering=0) as file:
        data = file.read()
    kept = takewhile(lambda each: each.what != LEFT_OUT, parse(data[:HEAD_SIZE]))
    head = [each for each in kept if each.took_ns is not None]  # its end would be cut off
    tail = data[data.find(b"\n", max(len(data) - TAIL_SIZE, 0)) + 1 :]
    first = parse(tail)[:1]
    middle = Step(first[0].at_ns if first else 0, LEFT_OUT, took_ns=0)
    _replace(path, _lines([*head, middle]) + tail)


def _lines(steps: Iterable[Step]) -> bytes:
    return b"".join(_encode(each) + b"\n" for each in steps)


def _replace(path: str, data: bytes) -> None:
    with open(os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(data)
    os.rename(f"{path}.new", path)
