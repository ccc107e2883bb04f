"""TOML as stock prints it: literal strings, tables indented by two spaces, plain keys of a table before its tables.

No library prints this layout, and tools compare the text. See https://toml.io/en/v1.0.0 for the grammar.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_NEEDS_QUOTES: Final = re.compile(r"['\x00-\x08\x0a-\x1f\x7f]")
_ESCAPED: Final = re.compile(r'["\\\x00-\x1f\x7f]')
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def dumps(document: Mapping[str, Any]) -> str:
    """*document* as TOML, its keys in the order of the mapping. Values are those that tomllib gives."""
    return "".join(f"{line}\n" for line in _table(document, (), 0))


def _table(table: Mapping[str, Any], path: tuple[str, ...], depth: int) -> Iterator[str]:
    """The lines of what stands in *table*, without its header."""
    indent = "  " * depth
    started = False
    for key, value in table.items():
        if not _is_table(value):
            yield f"{indent}{_key(key)} = {_value(value)}"
            started = True
    for key, value in table.items():
        if not _is_table(value):
            continue
        if started:
            yield ""
        started = True
        yield from _headed(value, (*path, key), depth)


def _headed(value: Any, path: tuple[str, ...], depth: int) -> Iterator[str]:
    """The lines of a table, or of an array of tables, with headers."""
    indent, name = "  " * depth, ".".join(map(_key, path))
    if isinstance(value, Mapping):
        yield f"{indent}[{name}]"
        yield from _table(value, path, depth + 1)
        return
    for number, element in enumerate(value):
        if number:
            yield ""
        yield f"{indent}[[{name}]]"
        yield from _table(element, path, depth + 1)


def _is_table(value: Any) -> bool:
    if isinstance(value, Mapping):
        return True
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(element, Mapping) for element in value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, dt.date | dt.time):
        text = value.isoformat()
        return f"{text[:-6]}Z" if text.endswith("+00:00") else text
    if isinstance(value, Mapping):
        return _inline(value.items())
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_value, value))}]"
    raise TypeError(f"{type(value).__name__} has no form in TOML")


def _inline(items: Iterable[tuple[str, Any]]) -> str:
    return "{" + ", ".join(f"{_key(key)} = {_value(value)}" for key, value in items) + "}"


def _float(value: float) -> str:
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "-inf" if value < 0 else "inf"
    return f"{value:.1f}" if value == math.trunc(value) else format(Decimal(repr(value)), "f")


def _string(text: str) -> str:
    if not _NEEDS_QUOTES.search(text):
        return f"'{text}'"
    return '"' + _ESCAPED.sub(lambda match: _ESCAPES.get(match[0], f"\\u{ord(match[0]):04X}"), text) + '"'
