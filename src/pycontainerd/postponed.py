"""Modules that others import but hardly ever use: loaded when someone looks into them."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class Postponed:
    """A finder, see `sys.meta_path`, that finds one module, once."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the import system asks: a spec whose loader waits, for the one name."""
        if name != self._name:
            return None
        from importlib.machinery import PathFinder
        from importlib.util import LazyLoader

        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = LazyLoader(spec.loader)
        return spec


def postpone(name: str) -> None:
    """Lets the module *name* be loaded when it is looked into, unless it is loaded already."""
    if name not in sys.modules:
        sys.meta_path.insert(0, Postponed(name))
