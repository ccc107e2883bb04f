"""Every plugin that a daemon with a given configuration has: built in, external, and proxies."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Final

from pycontainerd.plugin.builtin import builtin, load
from pycontainerd.plugin.registration import Registration

GROUP: Final = "pycontainerd.plugins"
"""The entry point group in which installed packages name registrations of theirs."""


def registrations() -> tuple[Registration, ...]:
    """The built-in plugins, then those of installed packages."""
    return (*builtin(), *external())


def external() -> Iterator[Registration]:
    """The registrations that installed packages offer by entry points, in the order of their names."""
    for value in sorted(_entry_points()):
        yield load(value)


def _entry_points() -> Iterator[str]:
    """The values of our group's entry points.

    `importlib.metadata` would do this in 25 ms, most of it for its own imports; the files are simple: see
    https://packaging.python.org/en/latest/specifications/entry-points/.
    """
    for directory in dict.fromkeys(sys.path):
        try:
            names = [name for name in os.listdir(directory or ".") if name.endswith((".dist-info", ".egg-info"))]
        except OSError:
            continue
        for name in names:
            yield from _group(os.path.join(directory or ".", name, "entry_points.txt"))


def _group(path: str) -> Iterator[str]:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError:
        return
    if f"[{GROUP}]" not in text:
        return
    inside = False
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            inside = line == f"[{GROUP}]"
        elif inside and "=" in line and not line.startswith(("#", ";")):
            yield line.partition("=")[2].partition("[")[0].strip()
