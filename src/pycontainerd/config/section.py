"""The base of the structs that plugins' sections of config.toml decode to.

The order of a struct's fields is that in which `containerd config` prints them; a field's default is the plugin's.
A nested table is a nested struct, a table whose keys users choose a `dict`.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A section, or a table in one."""

    hidden_when_empty: ClassVar[frozenset[str]] = frozenset()
    """Keys that are printed only when they are set."""
