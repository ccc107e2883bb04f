"""Several files made one: the later wins.

Outside of plugins an empty value (`0`, `""`, `false`) never overrides, and lists are united. Sections of plugins are
merged by key at any depth, and there every value overrides. A proxy plugin, a stream processor or a timeout is
replaced whole.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
import msgspec.structs

from pycontainerd.config.decode import is_empty
from pycontainerd.config.model import File

S = TypeVar("S", bound=msgspec.Struct)


def merge(below: File, above: File) -> File:
    """*above* over *below*."""
    merged = _merge_struct(below, above)
    return msgspec.structs.replace(merged, plugins=merge_tables(below.plugins, above.plugins))


def merge_tables(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """*above* over *below*, key by key at any depth."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = merge_tables(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _merge_struct(below: S, above: S) -> S:
    changes = {name: _merge(getattr(below, name), getattr(above, name)) for name in below.__struct_fields__}
    return msgspec.structs.replace(below, **changes)


def _merge(below: Any, above: Any) -> Any:
    if isinstance(below, msgspec.Struct):
        return _merge_struct(below, above)
    if isinstance(below, dict):
        return below | above
    if isinstance(below, tuple):
        return (*below, *(value for value in dict.fromkeys(above) if value not in below))
    return below if is_empty(above) else above
