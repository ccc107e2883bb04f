"""The file of a log: appended to, begun anew when asked or by size, and never a reason to wait.

    c.log       the current file, 0640
    c.log.1     the newest of the older ones, if it is begun anew by size
    c.log.2     …

Each write brings whole records. What a full disk refuses is lost: the file is cut back to its last whole record, and
once there is room again a record of ours says how much is missing there. A writer that was killed in a write may have
left a piece of a record: whoever goes on in that file begins with a line of its own.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable
from typing import Final

from pycontainerd.errors import Unknown
from pycontainerd.shim.logs.record import STAMP_SIZE, Stamps, note
from pycontainerd.shim.logs.target import LogTarget

_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC


class LogFile:
    """An open log file. *tell* hears of what goes wrong, in words."""

    __slots__ = ("_fd", "_lost", "_rotate_at", "_size", "_stamps", "_target", "_tell", "_why")

    def __init__(self, target: LogTarget, tell: Callable[[str], None]) -> None:
        """Opens the file, with the directories above it. Raises Unknown."""
        self._target = target
        self._tell = tell
        self._stamps = Stamps()
        self._lost = 0
        self._why = ""
        self._fd = -1
        self._size = self._rotate_at = 0
        self._open()

    def write(self, records: bytes) -> None:
        """Appends whole records, or loses them."""
        if not self._target.max_size:
            self._append(records)
            return
        while records:
            room = self._rotate_at - self._size
            if len(records) <= room:
                self._append(records)
                return
            end = records.rfind(b"\n", 0, max(0, room)) + 1
            if not end and self._size:
                self._rotate()
                continue
            end = end or records.index(b"\n") + 1  # a record that is larger than a file may be
            self._append(records[:end])
            records = records[end:]

    def reopen(self) -> None:
        """Goes on in a new file at the path, or in what is there. Raises Unknown, and goes on in the old one then."""
        old = self._fd
        self._open()
        os.close(old)

    def close(self) -> None:
        """Closes the file; what is missing at its end is said in it if that can be."""
        if self._fd >= 0:
            if self._lost:
                self._append(b"")
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        path = self._target.path
        try:
            os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
            fd = os.open(path, _FLAGS, 0o640)
        except OSError as error:
            raise Unknown(f'opening log file "{path}" failed: {error.strerror}') from error
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            raise Unknown(f'opening log file "{path}" failed: no regular file')
        self._fd, self._rotate_at = fd, self._target.max_size
        self._size = status.st_size + _end_line(fd, status.st_size)

    def _rotate(self) -> None:
        """Moves the files on by one and begins a new one; what can't be moved goes on as it is."""
        path = self._target.path
        try:
            if os.path.lexists(path):  # or it was moved before: by us, who couldn't open a new one, or by somebody else
                self._move_on()
            self.reopen()
        except (OSError, Unknown) as error:
            self._tell(f"log {path}: can't be begun anew: {error}")
            self._rotate_at = self._size + self._target.max_size

    def _move_on(self) -> None:
        path = self._target.path
        for number in range(self._target.max_files - 1, 1, -1):
            with contextlib.suppress(FileNotFoundError):
                os.rename(f"{path}.{number - 1}", f"{path}.{number}")
        if self._target.max_files > 1:
            os.rename(path, f"{path}.1")
        else:
            os.unlink(path)

    def _append(self, records: bytes) -> None:
        # With the time of what follows: in a log no time goes back.
        stamp = records[:STAMP_SIZE] or self._stamps.of(time.time_ns())
        told = note(stamp, self._missing()) if self._lost else b""
        kept = self._put(told + records)
        if told and kept >= len(told):
            self._tell(f"log {self._target.path}: {self._missing()}")
            self._lost = 0
        if kept < len(told) + len(records):
            self._lose(records[max(0, kept - len(told)) :])

    def _put(self, data: bytes) -> int:
        """How many bytes of *data* are in the file now: all, or whole records."""
        done = 0
        try:
            while done < len(data):
                done += os.write(self._fd, data[done:] if done else data)
        except OSError as error:
            self._why = (error.strerror or str(error)).lower()
            done = self._cut_back(data, done)
        self._size += done
        return done

    def _cut_back(self, data: bytes, done: int) -> int:
        whole = data.rfind(b"\n", 0, done) + 1
        if whole < done:
            with contextlib.suppress(OSError):  # a disk that fails in this too: the next record stands on that line
                os.ftruncate(self._fd, os.fstat(self._fd).st_size - (done - whole))
        return whole

    def _lose(self, records: bytes) -> None:
        if not self._lost:
            self._tell(f"log {self._target.path}: {self._why}: output is lost from now on")
        self._lost += records.count(b"\n")

    def _missing(self) -> str:
        return f"{self._lost} records are missing here: {self._why}"


def _end_line(fd: int, size: int) -> int:
    """Ends a line that was left unfinished in a file of *size* bytes. How many bytes that took."""
    with contextlib.suppress(OSError):  # a disk that refuses even this: the next record stands on that line
        if size and os.pread(fd, 1, size - 1) != b"\n":
            return os.write(fd, b"\n")
    return 0
