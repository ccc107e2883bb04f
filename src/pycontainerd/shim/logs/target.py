"""Where a log goes and how: the options of `cri-log:///path?max-line=…&max-size=…&max-files=…`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from pycontainerd.errors import Unknown

MAX_LINE: Final = 16384
MAX_FILES: Final = 5

_NUMBERS: Final = {"max-line": MAX_LINE, "max-size": 0, "max-files": MAX_FILES}


@dataclass(frozen=True, slots=True)
class LogTarget:
    """A log to be written."""

    path: str
    max_line: int = MAX_LINE
    """Bytes of a line in one record; longer lines become several. 0: 1 MiB."""
    max_size: int = 0
    """Bytes after which the file is begun anew. 0: never by itself."""
    max_files: int = MAX_FILES
    """Files that there are then, the current one counted: `path`, `path.1`, the newest of the older ones, `path.2` …"""

    @classmethod
    def parse(cls, path: str, options: Mapping[str, str]) -> Self:
        """Raises Unknown for a path that is not absolute and for options that can't be meant."""
        if not path.startswith("/"):
            raise Unknown(f"log {path!r}: the path must be absolute")
        unknown = options.keys() - _NUMBERS.keys()
        if unknown:
            raise Unknown(f"log {path}: unknown option {min(unknown)}; known are {', '.join(_NUMBERS)}")
        numbers = [_number(path, name, options.get(name, "")) for name in _NUMBERS]
        max_line, max_size, max_files = numbers
        return cls(path, max_line, max_size, max(1, max_files))


def _number(path: str, name: str, text: str) -> int:
    if not text:
        return _NUMBERS[name]
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Unknown(f"log {path}: {name}={text} is no number of at least 0")
    return int(text)
