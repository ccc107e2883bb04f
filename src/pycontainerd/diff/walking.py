"""The built-in differ: applies layers and makes them, by walking trees."""

from __future__ import annotations

from pycontainerd.diff.comparing import Comparer
from pycontainerd.diff.differ import Differ


class Walking:
    """Both halves of the differ `walking`; their methods are its own."""

    def __init__(self, differ: Differ, comparer: Comparer) -> None:
        self.apply = differ.apply
        self.apply_content = differ.apply_content
        self.compare = comparer.compare
