"""The shim's own log, in the text form that the daemon's log has; goes to the `log` fifo of the bundle.

    time="2026-11-24T07:46:57.297688974Z" level=info msg="…" id=c1

What can't be written (no reader, a full fifo) is dropped: a log never holds up a container.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from typing import Final

_PLAIN: Final = re.compile(r"[A-Za-z0-9\-._/@^+]+")
DEBUG: Final = "debug"
INFO: Final = "info"
WARNING: Final = "warning"
ERROR: Final = "error"


class Journal:
    """Writes lines to a descriptor that does not block."""

    __slots__ = ("_debug", "_fd", "_fields")

    def __init__(self, fd: int, *, debug: bool, fields: dict[str, str]) -> None:
        self._fd = fd
        self._debug = debug
        self._fields = fields

    def debug(self, message: str, **fields: object) -> None:
        if self._debug:
            self._write(DEBUG, message, fields)

    def info(self, message: str, **fields: object) -> None:
        self._write(INFO, message, fields)

    def warning(self, message: str, **fields: object) -> None:
        self._write(WARNING, message, fields)

    def error(self, message: str, **fields: object) -> None:
        self._write(ERROR, message, fields)

    def _write(self, level: str, message: str, fields: dict[str, object]) -> None:
        if self._fd < 0:
            return
        text = line(time.time_ns(), level, message, {**fields, **self._fields})
        with contextlib.suppress(OSError):
            os.write(self._fd, text.encode(errors="replace"))


def line(now_ns: int, level: str, message: str, fields: dict[str, object]) -> str:
    """One line of the log. *now_ns* is nanoseconds since 1970."""
    seconds, nanoseconds = divmod(now_ns, 1_000_000_000)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    parts = [f'time="{stamp}.{nanoseconds:09d}Z"', f"level={level}", f"msg={_quoted(message)}"]
    parts += [f"{key}={_quoted(str(value))}" for key, value in sorted(fields.items())]
    return " ".join(parts) + "\n"


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
