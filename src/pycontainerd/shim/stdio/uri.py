"""What the strings `stdin`, `stdout` and `stderr` of a request mean (runtime-shim.md §7)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote

from pycontainerd.errors import Unknown
from pycontainerd.quoting import quote

FIFO: Final = "fifo"
FILE: Final = "file"
BINARY: Final = "binary"
BINARY_V2: Final = "binary-v2"
CRI_LOG: Final = "cri-log"
"""A log of our own; see `shim.logs`."""

_SCHEMES: Final = (FIFO, FILE, BINARY, BINARY_V2, CRI_LOG)


_BAD_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2}).{0,2}")


class UnknownScheme(Unknown):
    """A URI of a kind that nobody here knows."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where one stream goes: a path, and what its query says: the first value of each key."""

    scheme: str
    path: str
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def arguments(self) -> tuple[str, ...]:
        """The options for a command line: each key followed by its value."""
        return tuple(part for pair in self.options.items() for part in pair)


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
    if scheme not in _SCHEMES:
        raise UnknownScheme(f"unknown STDIO scheme {scheme}")
    escape = _BAD_ESCAPE.search(path)
    if escape is not None:
        raise Unknown(f"unable to parse stdout uri: parse {quote(text)}: invalid URL escape {quote(escape.group())}")
    if not path.startswith("/"):
        _, slash, after = path.partition("/")
        path = slash + after  # a host names nothing here
    return Target(scheme, unquote(path), _options(query))


def parse_terminal(text: str) -> Target:
    """As `parse`, for a terminal: an unknown scheme is the beginning of a path there, as in the original."""
    try:
        return parse(text)
    except UnknownScheme:
        return Target(FIFO, text)


def _options(query: str) -> dict[str, str]:
    first: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        first.setdefault(key, value)
    return first
