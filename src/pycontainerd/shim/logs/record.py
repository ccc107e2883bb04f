"""Records: lines of a log in the format that Kubernetes reads.

    2026-11-24T07:46:57.297688974Z stdout F a whole line
    2026-11-24T07:46:57.297688974Z stdout P a piece of a line that goes on in the next record of the stream

Times are those at which the bytes were read, in UTC.
"""

from __future__ import annotations

import time
from typing import Final

STDOUT: Final = "stdout"
STDERR: Final = "stderr"

LONGEST: Final = 1 << 20
"""Bytes of a line that are kept in memory for one record, if no smaller limit is set."""

STAMP_SIZE: Final = 30
"""Bytes of a time."""

_SECOND_NS: Final = 1_000_000_000


class Stamps:
    """Times as text; those of one second share its formatting."""

    __slots__ = ("_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def of(self, at_ns: int) -> bytes:
        """*at_ns*, in nanoseconds since 1970, in RFC 3339 with all nine digits."""
        second, nanoseconds = divmod(at_ns, _SECOND_NS)
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._text}.{nanoseconds:09d}Z".encode()


def note(stamp: bytes, text: str) -> bytes:
    """A record of our own."""
    return b"%b stderr F pycontainerd: %b\n" % (stamp, text.encode())


class Records:
    """Makes records of what one stream writes. *limit*: bytes of a line in one record; 0 means as many as we keep.

    The beginning of a line that has not ended yet is held back, so that a line is one record if it is short enough.
    """

    __slots__ = ("_full", "_held", "_limit", "_partial")

    def __init__(self, stream: str, limit: int) -> None:
        self._full = f" {stream} F ".encode()
        self._partial = f" {stream} P ".encode()
        self._limit = limit if 0 < limit < LONGEST else LONGEST
        self._held = bytearray()

    def feed(self, data: bytes, stamp: bytes) -> bytes:
        """The records that *data* completes."""
        end = data.rfind(b"\n") + 1
        whole = b""
        if end:
            whole = self._of_lines(b"".join((self._held, data[:end])) if self._held else data[:end], stamp)
            self._held.clear()
        self._held += data[end:]
        # A carriage return at the end may belong to the end of the line, and doesn't count then.
        if len(self._held) - self._held.endswith(b"\r") <= self._limit:
            return whole
        return whole + self._of_beginning(stamp)

    def finish(self, stamp: bytes) -> bytes:
        """The record of a last line that never ended."""
        held = bytes(self._held)
        self._held.clear()
        return b"%b%b%b\n" % (stamp, self._partial, held) if held else b""

    def _of_lines(self, lines: bytes, stamp: bytes) -> bytes:
        """Records of whole lines."""
        if b"\r\n" in lines:
            lines = lines.replace(b"\r\n", b"\n")
        head = stamp + self._full
        if _all_fit(lines, self._limit):
            return b"".join((head, lines[:-1].replace(b"\n", b"\n" + head), b"\n"))
        return b"".join(self._of_line(line, stamp) for line in lines[:-1].split(b"\n"))

    def _of_line(self, line: bytes, stamp: bytes) -> bytes:
        cut = max(0, (len(line) - 1) // self._limit * self._limit)
        return b"%b%b%b%b\n" % (self._pieces(line, cut, stamp), stamp, self._full, line[cut:])

    def _of_beginning(self, stamp: bytes) -> bytes:
        """Records of as much of the held line as can't be one record with the rest."""
        held = bytes(self._held)
        cut = (len(held) - held.endswith(b"\r") - 1) // self._limit * self._limit
        del self._held[:cut]
        return self._pieces(held, cut, stamp)

    def _pieces(self, line: bytes, end: int, stamp: bytes) -> bytes:
        limit = self._limit
        head = stamp + self._partial
        return b"".join(b"%b%b\n" % (head, line[at : at + limit]) for at in range(0, end, limit))


def _all_fit(lines: bytes, limit: int) -> bool:
    """Whether no line is longer than *limit*: looks at one line end in *limit* bytes, not at each."""
    at = 0
    while len(lines) - at > limit + 1:
        end = lines.rfind(b"\n", at, at + limit + 1)
        if end < 0:
            return False
        at = end + 1
    return True
