"""What a transfer is doing, drawn as the original draws it.

On a terminal the picture is drawn again whenever something happens; elsewhere it is printed once, at the end.
"""

from __future__ import annotations

import os
import re
import sys
import time
from typing import TYPE_CHECKING

from pycontainerd.commands.ctr.values import binary_size

if TYPE_CHECKING:
    from pycontainerd.api.containerd.types.transfer_pb2 import Progress

NAME_WIDTH = 40
BAR_WIDTH = 38
EVENT_WIDTH = 11
REDRAW_S = 0.1
_ERASE_LINE = "\x1b[1A\x1b[2K\r"
_WITH_BAR = frozenset(("downloading", "uploading", "extracting", "resolving", "waiting", "complete", "extracted"))
_WITH_SIZES = frozenset(("downloading", "uploading", "extracting"))
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class _Node:
    __slots__ = ("children", "digest", "event", "has_parent", "media_type", "name", "progress", "total")

    def __init__(self, name: str) -> None:
        self.name = name
        self.event = ""
        self.progress = self.total = 0
        self.children: list[_Node] = []
        self.has_parent = False
        self.media_type = self.digest = ""


class Picture:
    """The things that a transfer works on, as a tree, and how far each is."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}
        self._status = ""
        self._begun = self._drawn_at = time.monotonic()
        self._lines = 0
        self._live = os.isatty(0) and os.isatty(1)

    def tell(self, progress: Progress) -> None:
        """Takes one message of the daemon."""
        if not progress.name:
            self._status = progress.event
        else:
            self._take(progress)
        if self._live and time.monotonic() - self._drawn_at > REDRAW_S:
            self._draw()

    def finish(self) -> None:
        """Draws the picture as it is at the end; nothing if nothing was heard of."""
        if self._nodes:
            self._draw()

    def _take(self, progress: Progress) -> None:
        node = self._nodes.get(progress.name)
        if node is None:
            node = self._nodes[progress.name] = _Node(progress.name)
            for name in progress.parents:
                parent = self._nodes.get(name)
                if parent is not None and parent is not node:
                    parent.children.append(node)
                    node.has_parent = True
        node.event = progress.event
        node.progress, node.total = progress.progress or node.progress, progress.total or node.total
        if progress.HasField("desc"):
            node.media_type, node.digest = progress.desc.media_type, progress.desc.digest

    def _draw(self) -> None:
        self._drawn_at = time.monotonic()
        lines = self._frame()
        sys.stdout.write(_ERASE_LINE * self._lines + "".join(f"{line}\n" for line in lines))
        sys.stdout.flush()
        self._lines = len(lines) if self._live else 0

    def _frame(self) -> list[str]:
        roots = [node for node in self._nodes.values() if not node.has_parent]
        lines = [line for root in roots for line in _tree(root)]
        lines += [f"{root.media_type} {root.digest}" for root in roots if root.digest]
        elapsed = time.monotonic() - self._begun
        total = sum(node.progress for node in self._nodes.values())
        size, rate = binary_size(total), binary_size(total / elapsed if elapsed else 0)
        lines.append(f"{self._status}\telapsed: {elapsed:<4.1f}s\ttotal:  {size[:6]:>6}\t({rate}/s)\t")
        return lines


def _tree(root: _Node) -> list[str]:
    lines = []
    pending = [(root, "", "")]
    while pending:
        node, head, indent = pending.pop()
        lines.append(_line(node, head))
        for place, child in enumerate(reversed(node.children)):
            last = place == 0
            pending.append((child, indent + ("└──" if last else "├──"), indent + ("   " if last else "│  ")))
    return lines


def _line(node: _Node, head: str) -> str:
    name = f"{head}{_display_name(node.name)}"[:NAME_WIDTH]
    if node.event not in _WITH_BAR:
        return f"{name:<{NAME_WIDTH}}\t{node.event}\t"
    done = min(node.progress / node.total, 1.0) if node.total else float(node.event in {"complete", "extracted"})
    filled = int(BAR_WIDTH * done)
    bar = f"|\x1b[32m{'+' * filled}\x1b[0m{'-' * (BAR_WIDTH - filled)}|"
    line = f"{name:<{NAME_WIDTH}}\t{node.event:<{EVENT_WIDTH}}\t{bar}\t"
    if node.event in _WITH_SIZES:
        line += f"{binary_size(node.progress)[:8]:>8}/{binary_size(node.total)}\t"
    return line


def _display_name(name: str) -> str:
    return " ".join(_DIGEST.sub(lambda match: f"({match[1][:12]})", part) for part in name.split("-"))
