"""The log of one process: what its streams bring becomes records in a file, and is passed on to followers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from pycontainerd.shim.logs.file import LogFile
from pycontainerd.shim.logs.followers import Followers
from pycontainerd.shim.logs.record import Records, Stamps
from pycontainerd.shim.logs.target import LogTarget
from pycontainerd.shim.loop import Loop


class Log:
    """Takes output as it is read. All streams go into one file, in the order in which they are read."""

    __slots__ = ("_file", "_records", "_stamps", "followers")

    def __init__(self, loop: Loop, target: LogTarget, streams: Iterable[str], tell: Callable[[str], None]) -> None:
        """Opens the file. *tell* hears of what goes wrong later. Raises Unknown."""
        self._file = LogFile(target, tell)
        self._records = {stream: Records(stream, target.max_line) for stream in streams}
        self._stamps = Stamps()
        self.followers = Followers(loop)

    def write(self, stream: str, data: bytes) -> None:
        """Takes the next bytes of a stream. Never waits, never fails."""
        records = self._records[stream].feed(data, self._now())
        if records:
            self._file.write(records)
        if self.followers:
            self.followers.tell(stream, data)

    def end(self, stream: str) -> None:
        """A stream has ended: what it left unfinished is written down. The log ends with the last stream."""
        records = self._records.pop(stream).finish(self._now())
        if records:
            self._file.write(records)
        if not self._records:
            self._file.close()
            self.followers.end()

    def reopen(self) -> None:
        """Begins the file anew at its path. Raises Unknown, and goes on in the old file then."""
        if self._records:  # after the end nothing comes that could go into a new one
            self._file.reopen()

    def close(self) -> None:
        """Nothing more will come."""
        for stream in list(self._records):
            self.end(stream)

    def _now(self) -> bytes:
        return self._stamps.of(time.time_ns())
