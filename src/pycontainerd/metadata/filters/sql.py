"""Selectors as conditions in SQL, so that a list reads the rows that it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct, field

from pycontainerd.metadata.filters.syntax import Operator, Selector


class Columns(Struct, frozen=True):
    """Where the fields of a kind lie.

    *texts* names the columns of plain fields. They are present when they are not empty, those in *always* even then;
    what follows such a field's name in a path is ignored, as some stores of the original do, or with *whole* makes
    another path. *maps* names, for the first part of a path, the table (`owner`, `key`, `value`) that holds the rest.
    Paths that are *opaque* are known by no column: their conditions are left to `Filter.matches`. Any other path is
    absent.
    """

    texts: Mapping[tuple[str, ...], str]
    maps: Mapping[str, str] = field(default_factory=lambda: {"labels": "labels"})
    always: frozenset[str] = frozenset()
    whole: bool = False
    opaque: Callable[[Sequence[str]], bool] = lambda _: False


class Where(Struct, frozen=True):
    """A condition and its arguments. If it is not *exact*, it lets through more than matches."""

    sql: str
    arguments: tuple[str, ...]
    exact: bool

    @property
    def is_selective(self) -> bool:
        """Whether there are rows that it may keep back."""
        return self.sql != "1"


_TRUE: Final = Where("1", (), exact=True)
_FALSE: Final = Where("0", (), exact=True)
_ALL: Final = Where("1", (), exact=False)

_SELECTORS: Final = 500
"""In one condition at most: SQLite refuses expressions deeper than 1,000, and each selector makes one deeper."""


def where(alternatives: Sequence[Sequence[Selector]], columns: Columns) -> Where:
    """The condition that one of *alternatives* holds in all its selectors; if they are very many, none."""
    if sum(map(len, alternatives)) > _SELECTORS or len(alternatives) > _SELECTORS:
        return _ALL
    return _joined((_joined((_one(each, columns) for each in selectors), "AND") for selectors in alternatives), "OR")


def _joined(parts: Iterable[Where], word: str) -> Where:
    parts = list(parts)
    if not parts:
        return _TRUE
    if len(parts) == 1:
        return parts[0]
    return Where(
        "(" + f" {word} ".join(part.sql for part in parts) + ")",
        tuple(argument for part in parts for argument in part.arguments),
        exact=all(part.exact for part in parts),
    )


def _one(selector: Selector, columns: Columns) -> Where:
    if selector.operator is Operator.MATCHES or columns.opaque(selector.path):
        return _ALL
    value, arguments = _value(selector.path, columns)
    try:
        for text in (*arguments, selector.value):
            text.encode()
    except UnicodeEncodeError:
        # Bytes that are no UTF-8 equal nothing that is stored, and no key has them.
        return _ALL
    if value is None:
        return _TRUE if selector.operator is Operator.NOT_EQUAL and selector.value else _FALSE
    is_always = value in columns.always
    match selector.operator:
        case Operator.PRESENT:
            return _TRUE if is_always else Where(f"{value} <> ''", arguments, exact=True)
        case Operator.EQUAL if is_always:
            return Where(f"{value} = ?", (*arguments, selector.value), exact=True)
        case Operator.EQUAL if not selector.value:
            return _FALSE  # an empty value is an absent one
        case Operator.EQUAL:
            return Where(f"{value} = ?", (*arguments, selector.value), exact=True)
        case Operator.NOT_EQUAL:
            return Where(f"{value} <> ?", (*arguments, selector.value), exact=True)


def _value(path: tuple[str, ...], columns: Columns) -> tuple[str | None, tuple[str, ...]]:
    """The expression of a path's value, empty when it is absent, and its arguments; None for what nothing has."""
    for length in range(len(path) if columns.whole else 1, len(path) + 1):
        column = columns.texts.get(path[:length])
        if column is not None:
            return column, ()
    table = columns.maps.get(path[0])
    if table is not None:
        # Values of such tables are never empty: labels and annotations without a value are not stored.
        expression = f"coalesce((SELECT value FROM {table} WHERE owner = objects.id AND key = ?), '')"  # noqa: S608 - *table* is ours
        return expression, (".".join(path[1:]),)
    return None, ()
