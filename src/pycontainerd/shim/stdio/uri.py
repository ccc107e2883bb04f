"""What the strings `stdin`, `stdout` and `stderr` of a request mean (runtime-shim.md §7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote

from pycontainerd.errors import Unknown

FIFO: Final = "fifo"
FILE: Final = "file"
BINARY: Final = "binary"
BINARY_V2: Final = "binary-v2"


@dataclass(frozen=True, slots=True)
class Target:
    """Where one stream goes: a path, and for a logging program its arguments."""

    scheme: str
    path: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """The strings of a request, and whether it wants a terminal."""

    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    terminal: bool = False

    @property
    def is_null(self) -> bool:
        return not (self.stdin or self.stdout or self.stderr)


def parse(text: str) -> Target:
    """The target that *text* names: a URI, or the bare path of a fifo or file. Raises Unknown for other schemes."""
    scheme, colon, rest = text.partition("://")
    if not colon:
        return Target(FIFO, text)
    path, _, query = rest.partition("?")
    if scheme not in (FIFO, FILE, BINARY, BINARY_V2):
        raise Unknown(f"unknown STDIO scheme {scheme}")
    if not path.startswith("/"):
        _, slash, after = path.partition("/")
        path = slash + after  # a host names nothing here
    return Target(scheme, unquote(path), _arguments(query))


def _arguments(query: str) -> tuple[str, ...]:
    """Each key followed by its first value."""
    first: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        first.setdefault(key, value)
    return tuple(part for pair in first.items() for part in pair)
