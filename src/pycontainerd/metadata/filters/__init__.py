"""Filters as clients write them (content.md §8): a list of texts, of which one must match.

    selectors := selector ("," selector)*        all must match
    selector  := fieldpath [("==" | "!=" | "~=") value]

`compile` makes a `Filter`, once for each request or subscription. A store asks it for a condition in SQL, which lets
through all that match and perhaps more, and for `matches` on what is left; subscriptions use `matches` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from pycontainerd.errors import InvalidArgument
from pycontainerd.metadata.filters import sql
from pycontainerd.metadata.filters.syntax import Operator, Selector, parse

if TYPE_CHECKING:
    from pycontainerd.metadata.filters.regexps import Regexp

__all__ = ["Fields", "Filter", "compile"]


class Fields(Protocol):
    """An object whose fields filters ask for."""

    def field(self, path: Sequence[str], /) -> tuple[str, bool]:
        """The value at *path* and whether it is present; an absent one is empty."""


class _Condition(Struct, frozen=True):
    """One selector, ready to be asked."""

    selector: Selector
    regexp: Regexp | None

    def holds(self, subject: Fields) -> bool:
        value, present = subject.field(self.selector.path)
        match self.selector.operator:
            case Operator.PRESENT:
                return present
            case Operator.EQUAL:
                return present and value == self.selector.value
            case Operator.NOT_EQUAL:
                return value != self.selector.value
            case Operator.MATCHES:
                return self.regexp is not None and self.regexp.search(value)


class Filter:
    """A compiled list of filters. Without filters, or with an empty one, everything matches."""

    __slots__ = ("_alternatives",)

    def __init__(self, alternatives: Sequence[Sequence[Selector]]) -> None:
        self._alternatives = [[_Condition(each, _compiled(each)) for each in selectors] for selectors in alternatives]

    def matches(self, subject: Fields, /) -> bool:
        """Whether *subject* passes."""
        return any(all(condition.holds(subject) for condition in conditions) for conditions in self._alternatives)

    def where(self, columns: sql.Columns) -> sql.Where:
        """The condition in SQL over *columns*; if it is not exact, `matches` has the last word."""
        return sql.where(
            [[condition.selector for condition in conditions] for conditions in self._alternatives], columns
        )


def compile(filters: Sequence[str], *, kind_twice: bool = False) -> Filter:  # noqa: A001 - as `re.compile`
    """Compiles a list of filters. Raises InvalidArgument with the original's words for the first that doesn't parse.

    Some stores of the original name the kind of that error once more: *kind_twice*. A regular expression that is none
    matches nothing.
    """
    try:
        return Filter([parse(text) for text in filters] or [[]])
    except InvalidArgument as error:
        if not kind_twice:
            raise
        raise InvalidArgument(f"{error.wire_text()}: {error.kind}", bare=True) from None


def _compiled(selector: Selector) -> Regexp | None:
    if selector.operator is not Operator.MATCHES:
        return None
    from pycontainerd.metadata.filters.regexps import Regexp  # the start of the daemon needs none

    return Regexp.compile(selector.value)
