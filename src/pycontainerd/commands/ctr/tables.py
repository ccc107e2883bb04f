"""Tables whose columns fit what stands in them: the algorithm of Go's text/tabwriter.

A cell is text that a tab ends. A column is a run of lines that have a cell at that place; it is as wide as
its longest cell and the padding. Text after the last tab of a line is no cell.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Style:
    """How wide columns are and what fills them."""

    __slots__ = ("minimum", "padding", "tab", "tab_width")

    def __init__(self, minimum: int, tab_width: int, padding: int, *, tab: bool = False) -> None:
        self.minimum = minimum
        self.tab_width = tab_width
        self.padding = padding
        self.tab = tab


NARROW = Style(1, 8, 1)
WIDE = Style(4, 8, 4)
PROCESSES = Style(1, 8, 4)
TABBED = Style(1, 8, 1, tab=True)
HELP = Style(1, 8, 2)


def layout(lines: Sequence[str], style: Style) -> str:
    """*lines* with their cells padded, each ended by a newline."""
    cells = [line.split("\t") for line in lines]
    widths: list[list[int]] = [[] for _ in cells]
    _measure(cells, widths, 0, len(cells), style)
    return "".join(_line(row, row_widths, style) for row, row_widths in zip(cells, widths, strict=True))


def _measure(cells: list[list[str]], widths: list[list[int]], start: int, end: int, style: Style) -> None:
    """Sets the width of the next column of the lines from *start* to *end*, block by block."""
    column = len(widths[start]) if start < end else 0
    line = start
    while line < end:
        if column >= len(cells[line]) - 1:
            line += 1
            continue
        first, width = line, style.minimum
        while line < end and column < len(cells[line]) - 1:
            width = max(width, len(cells[line][column]) + style.padding)
            line += 1
        for each in range(first, line):
            widths[each].append(width)
        _measure(cells, widths, first, line, style)


def _line(row: list[str], widths: list[int], style: Style) -> str:
    parts = []
    for text, width in zip(row, widths, strict=False):
        parts.append(text)
        if style.tab:
            whole = -(-width // style.tab_width) * style.tab_width
            parts.append("\t" * -(-(whole - len(text)) // style.tab_width))
        else:
            parts.append(" " * (width - len(text)))
    return "".join(parts) + row[-1] + "\n"


def show(rows: Iterable[Sequence[str]], style: Style, *, ended: bool = True) -> None:
    """Prints *rows* of cells; *ended* says whether the last cell of a row is one, or the text after the last
    tab.
    """
    end = "\t" if ended else ""
    sys.stdout.write(layout(["\t".join(row) + end for row in rows], style))
