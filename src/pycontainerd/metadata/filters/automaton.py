"""A pattern's tree as an automaton that reads a text once, whatever the pattern.

States of the tree's automaton are numbers; the automaton that reads is in a set of them. Sets that were met before are
found again, with the step that each character led to, so that most characters cost one look-up.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct, field

from pycontainerd.metadata.filters.characters import Characters, is_word
from pycontainerd.metadata.filters.pattern import BadPattern, Choice, Node, Place, Repeat, Sequence

STATES_LIMIT: Final = 2_000
_MEMORY: Final = 10_000
"""Remembered steps; when there are more, all are forgotten."""

_MATCH: Final = 0


class Exhausted(Exception):
    """The text would need more steps than the caller allows."""


class _Fork(Struct):
    ways: list[int] = field(default_factory=list)


class _Step(Struct, frozen=True):
    wanted: Characters
    then: int


class _Check(Struct, frozen=True):
    place: Place
    then: int


class _Set:
    """States that the automaton may be in after *before*, the character that was read; empty at the beginning."""

    __slots__ = ("before", "members", "steps")

    def __init__(self, members: frozenset[int], before: str) -> None:
        self.members = members
        self.before = before
        self.steps: dict[str, _Set | None] = {}


class Automaton:
    """Answers whether a pattern matches anywhere in a text."""

    def __init__(self, tree: Node) -> None:
        self._states: list[_Fork | _Step | _Check | None] = [None]
        self._start = self._build(tree, _MATCH)
        self._forget()

    def search(self, text: str, work: int) -> bool:
        """Whether there is a match in *text*. Raises Exhausted when that takes more than *work* new steps."""
        current: _Set | None = self._first
        for character in (*text, ""):
            if current is None:
                return True
            if character in current.steps:
                current = current.steps[character]
                continue
            work -= len(current.members) + 1
            if work < 0:
                raise Exhausted
            current = self._step(current, character)
        return current is None

    def _forget(self) -> None:
        self._sets: dict[tuple[frozenset[int], str], _Set] = {}
        self._remembered = 0
        self._first = self._set(frozenset((self._start,)), "")

    def _set(self, members: frozenset[int], before: str) -> _Set:
        kind = before
        if before and before != "\n":
            kind = "w" if is_word(before) else "."
        key = (members, kind)
        found = self._sets.get(key)
        if found is None:
            found = self._sets[key] = _Set(members, before)
        return found

    def _step(self, current: _Set, character: str) -> _Set | None:
        """Where *character*, or the end, leads from *current*; None is a match."""
        reached = self._closure(current, character)
        following: _Set | None = None
        if _MATCH not in reached:
            members = {self._start}
            for number in reached:
                state = self._states[number]
                if isinstance(state, _Step) and character and character in state.wanted:
                    members.add(state.then)
            if self._remembered > _MEMORY:
                self._forget()
            following = self._set(frozenset(members), character)
        self._remembered += 1
        current.steps[character] = following
        return following

    def _closure(self, current: _Set, after: str) -> set[int]:
        """All states that are reached without reading, between *current.before* and *after*."""
        reached: set[int] = set()
        waiting = list(current.members)
        while waiting:
            number = waiting.pop()
            if number in reached:
                continue
            reached.add(number)
            state = self._states[number]
            if isinstance(state, _Fork):
                waiting.extend(state.ways)
            elif isinstance(state, _Check) and _holds(state.place, current.before, after):
                waiting.append(state.then)
        return reached

    def _add(self, state: _Fork | _Step | _Check) -> int:
        if len(self._states) >= STATES_LIMIT:
            raise BadPattern("expression too large")
        self._states.append(state)
        return len(self._states) - 1

    def _build(self, node: Node, then: int) -> int:
        """The state from which *node* leads to *then*."""
        match node:
            case Characters():
                return self._add(_Step(node, then))
            case Place():
                return self._add(_Check(node, then))
            case Sequence(parts):
                for part in reversed(parts):
                    then = self._build(part, then)
                return then
            case Choice(parts):
                return self._add(_Fork([self._build(part, then) for part in parts]))
            case Repeat(part, least, most):
                return self._repeat(part, least, most, then)

    def _repeat(self, part: Node, least: int, most: int | None, then: int) -> int:
        if most is None:
            fork = _Fork([then])
            number = self._add(fork)
            fork.ways.append(self._build(part, number))
            first = number
        else:
            first = then
            for _ in range(most - least):
                first = self._add(_Fork([then, self._build(part, first)]))
        for _ in range(least):
            first = self._build(part, first)
        return first


def _holds(place: Place, before: str, after: str) -> bool:
    match place:
        case Place.TEXT_BEGIN:
            return not before
        case Place.TEXT_END:
            return not after
        case Place.LINE_BEGIN:
            return not before or before == "\n"
        case Place.LINE_END:
            return not after or after == "\n"
        case Place.WORD_EDGE:
            return _edge(before, after)
        case Place.NOT_WORD_EDGE:
            return not _edge(before, after)


def _edge(before: str, after: str) -> bool:
    return (bool(before) and is_word(before)) is not (bool(after) and is_word(after))
