"""Which version this is, for `--version`, the Version service and the log."""

from __future__ import annotations

import os
from functools import cache

import pycontainerd


@cache
def version() -> str:
    """The version of the interfaces, then ours: `v2.3.4+pycontainerd.0.1.0`."""
    return f"{pycontainerd.CONTAINERD_VERSION}+pycontainerd.{pycontainerd.VERSION}"


@cache
def revision() -> str:
    """The commit that this package was built from; empty when the build did not know it."""
    try:
        with open(os.path.join(os.path.dirname(pycontainerd.__file__), "REVISION")) as file:
            return file.read().strip()
    except FileNotFoundError:
        return ""
