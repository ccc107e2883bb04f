"""Regular expressions of Go's syntax that can't be made slow.

A client's pattern meets names that other clients chose; Python's `re` takes exponential time for some. This matcher
walks all alternatives at once, so its time is the text's length times the pattern's, and it remembers the steps that
it took, so that most characters cost one look-up. It only answers whether there is a match, which is all that filters
ask; so greedy, lazy and captures make no difference.

Limits: a pattern of more than `STATES_LIMIT` states, and one that does more than `WORK_LIMIT` steps on one text,
is treated like one that doesn't parse: it matches nothing, which the log says once. Classes by script (`\\p{Greek}`)
are not known; those by general category are.
"""

from __future__ import annotations

import logging
from typing import Final

from pycontainerd.metadata.filters.automaton import Automaton, Exhausted
from pycontainerd.metadata.filters.pattern import BadPattern, parse

log = logging.getLogger(__name__)

WORK_LIMIT: Final = 200_000


class Regexp:
    """One compiled pattern."""

    __slots__ = ("_automaton", "_pattern")

    def __init__(self, pattern: str, automaton: Automaton) -> None:
        self._pattern = pattern
        self._automaton: Automaton | None = automaton

    @classmethod
    def compile(cls, pattern: str) -> Regexp | None:
        """The pattern compiled, or None, with a line in the log, if it is no pattern of Go's syntax or too large."""
        try:
            return cls(pattern, Automaton(parse(pattern)))
        except BadPattern as error:
            log.error("error compiling filter regexp %r: %s", pattern, error)  # noqa: TRY400 - a client's, not ours
            return None

    def search(self, text: str) -> bool:
        """Whether the pattern matches anywhere in *text*."""
        if self._automaton is None:
            return False
        try:
            return self._automaton.search(text, WORK_LIMIT)
        except Exhausted:
            log.error("filter regexp %r needs too much work, it matches nothing from now on", self._pattern)  # noqa: TRY400
            self._automaton = None
            return False
