"""Sets of characters, as classes of a pattern name them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

Range = tuple[int, int]

MAX: Final = 0x10FFFF
DIGIT: Final[tuple[Range, ...]] = ((0x30, 0x39),)
SPACE: Final[tuple[Range, ...]] = ((0x09, 0x0A), (0x0C, 0x0D), (0x20, 0x20))
WORD: Final[tuple[Range, ...]] = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))

POSIX: Final[dict[str, tuple[Range, ...]]] = {
    "alnum": ((0x30, 0x39), (0x41, 0x5A), (0x61, 0x7A)),
    "alpha": ((0x41, 0x5A), (0x61, 0x7A)),
    "ascii": ((0x00, 0x7F),),
    "blank": ((0x09, 0x09), (0x20, 0x20)),
    "cntrl": ((0x00, 0x1F), (0x7F, 0x7F)),
    "digit": DIGIT,
    "graph": ((0x21, 0x7E),),
    "lower": ((0x61, 0x7A),),
    "print": ((0x20, 0x7E),),
    "punct": ((0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E)),
    "space": ((0x09, 0x0D), (0x20, 0x20)),
    "upper": ((0x41, 0x5A),),
    "word": WORD,
    "xdigit": ((0x30, 0x39), (0x41, 0x46), (0x61, 0x66)),
}

_MINOR: Final = {"C": "cfos", "L": "lmotu", "M": "cen", "N": "dlo", "P": "cdefios", "S": "ckmo", "Z": "lps"}
CATEGORIES: Final = frozenset(major + minor for major, minors in _MINOR.items() for minor in ("", *minors))
"""General categories, as in `\\pL` and `\\p{Lu}`."""

_FOLD_EXTRA: Final = {
    "k": "\u212a",
    "K": "\u212a",
    "s": "\u017f",
    "S": "\u017f",
    "\xe5": "\u212b",
    "\xc5": "\u212b",
    "\u03b8": "\u03f4",
    "\u03c9": "\u2126",
    "\xb5": "\u03bc\u039c",
    "\u03bc": "\xb5",
    "\u039c": "\xb5",
}


class Characters(Struct, frozen=True):
    """A set: ranges of code points, general categories, other sets; *negated* turns it round, *fold* ignores case."""

    ranges: tuple[Range, ...] = ()
    categories: tuple[str, ...] = ()
    others: tuple[Characters, ...] = ()
    negated: bool = False
    fold: bool = False

    def __contains__(self, character: str) -> bool:
        found = any(map(self._has, variants(character))) if self.fold else self._has(character)
        return found is not self.negated

    def _has(self, character: str) -> bool:
        code = ord(character)
        if any(low <= code <= high for low, high in self.ranges):
            return True
        if self.categories and unicodedata.category(character).startswith(self.categories):
            return True
        return any(character in other for other in self.others)


def of(ranges: Iterable[Range], *, negated: bool = False, fold: bool = False) -> Characters:
    """A set of ranges."""
    return Characters(tuple(ranges), negated=negated, fold=fold)


def variants(character: str) -> set[str]:
    """*character* and those that differ from it in case only."""
    found = {character, character.lower(), character.upper()}
    found |= {each.upper() for each in found} | {each.lower() for each in found}
    found |= {extra for each in tuple(found) for extra in _FOLD_EXTRA.get(each, "")}
    return {each for each in found if len(each) == 1}


def is_word(character: str) -> bool:
    """Whether `\\b` counts *character* to a word: letters, digits and `_` of ASCII."""
    return character.isascii() and (character.isalnum() or character == "_")
