"""Go's syntax of regular expressions: text in, a tree out. See the documentation of Go's regexp/syntax."""

from __future__ import annotations

import enum
from typing import Final

from msgspec import Struct

from pycontainerd.metadata.filters import characters
from pycontainerd.metadata.filters.characters import CATEGORIES, POSIX, Characters, Range

_REPEAT_LIMIT: Final = 1000
_DEPTH_LIMIT: Final = 100
_ESCAPED: Final = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_PERL: Final = {"d": characters.DIGIT, "s": characters.SPACE, "w": characters.WORD}
_NOT_NEWLINE: Final = characters.of([(10, 10)], negated=True)
_ANY: Final = characters.of([(0, characters.MAX)])


class BadPattern(Exception):
    """The text is no pattern, or one that is too large."""


class Place(enum.Enum):
    """What an assertion asks of the place between two characters."""

    TEXT_BEGIN = enum.auto()
    TEXT_END = enum.auto()
    LINE_BEGIN = enum.auto()
    LINE_END = enum.auto()
    WORD_EDGE = enum.auto()
    NOT_WORD_EDGE = enum.auto()


class Sequence(Struct, frozen=True):
    """All *parts*, one behind the other."""

    parts: tuple[Node, ...]


class Choice(Struct, frozen=True):
    """One of *parts*."""

    parts: tuple[Node, ...]


class Repeat(Struct, frozen=True):
    """*part* as often as *least* to *most* times; without end if *most* is None."""

    part: Node
    least: int
    most: int | None


Node = Characters | Place | Sequence | Choice | Repeat


class _Flags(Struct, frozen=True):
    fold: bool = False
    lines: bool = False
    newline: bool = False


def parse(text: str) -> Node:
    """The tree of a pattern. Raises BadPattern."""
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise BadPattern("invalid UTF-8")
    parser = _Parser(text)
    tree = parser.choice(0)
    if parser.position < len(text):
        raise BadPattern("unexpected )")
    return tree


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self._flags = _Flags()
        self._names: set[str] = set()

    def choice(self, depth: int) -> Node:
        """Alternatives up to a `)` or the end."""
        if depth > _DEPTH_LIMIT:
            raise BadPattern("expression nests too deeply")
        parts = [self._sequence(depth)]
        while self._accept("|"):
            parts.append(self._sequence(depth))
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            if self._accept("\\Q"):
                end = self.text.find("\\E", self.position)
                quoted = self.text[self.position :] if end < 0 else self.text[self.position : end]
                parts.extend(self._literal(character) for character in quoted)
                self.position = len(self.text) if end < 0 else end + 2
                if parts and quoted:
                    parts.append(self._repeated(parts.pop()))
            else:
                atom = self._atom(depth)
                if atom is not None:
                    parts.append(self._repeated(atom))
        return Sequence(tuple(parts))

    def _repeated(self, part: Node) -> Node:
        bounds = self._repetition()
        if bounds is None:
            return part
        self._accept("?")
        if self._repetition() is not None:
            raise BadPattern("invalid nested repetition operator")
        return Repeat(part, *bounds)

    def _repetition(self) -> tuple[int, int | None] | None:
        for operator, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._accept(operator):
                return bounds
        return self._counted() if self._peek() == "{" else None

    def _counted(self) -> tuple[int, int | None] | None:
        """`{n}`, `{n,}` or `{n,m}`; anything else leaves the brace to be a literal."""
        end = self.text.find("}", self.position)
        if end < 0:
            return None
        low, comma, high = self.text[self.position + 1 : end].partition(",")
        if not _is_count(low) or (high and not _is_count(high)):
            return None
        least = int(low)
        most = (int(high) if high else None) if comma else least
        if least > _REPEAT_LIMIT or (most is not None and (most > _REPEAT_LIMIT or most < least)):
            raise BadPattern("invalid repeat count")
        self.position = end + 1
        return least, most

    def _atom(self, depth: int) -> Node | None:
        """One thing that can be repeated; None for a group that only sets flags."""
        character = self._take()
        match character:
            case "(":
                return self._group(depth)
            case "[":
                return self._bracket()
            case ".":
                return _ANY if self._flags.newline else _NOT_NEWLINE
            case "^":
                return Place.LINE_BEGIN if self._flags.lines else Place.TEXT_BEGIN
            case "$":
                return Place.LINE_END if self._flags.lines else Place.TEXT_END
            case "*" | "+" | "?":
                raise BadPattern("missing argument to repetition operator")
            case "\\":
                return self._escape()
            case "{" if self._is_count_here():
                raise BadPattern("missing argument to repetition operator")
            case _:
                return self._literal(character)

    def _is_count_here(self) -> bool:
        self.position -= 1
        before = self.position
        counted = self._counted() is not None
        self.position = before + 1
        return counted

    def _literal(self, character: str) -> Characters:
        code = ord(character)
        return characters.of([(code, code)], fold=self._flags.fold)

    def _group(self, depth: int) -> Node | None:
        outer = self._flags
        if self._accept("?") and not self._name():
            if self._set_flags():
                return None  # they hold until the group around ends
            inner = self.choice(depth + 1)
        else:
            inner = self.choice(depth + 1)
        if not self._accept(")"):
            raise BadPattern("missing closing )")
        self._flags = outer
        return inner

    def _name(self) -> bool:
        """Takes the `P<name>` or `<name>` of a named group."""
        if not (self._accept("P<") or self._accept("<")):
            return False
        end = self.text.find(">", self.position)
        name = self.text[self.position : end] if end >= 0 else ""
        if not name or not all(characters.is_word(each) for each in name):
            raise BadPattern("invalid named capture")
        if name in self._names:
            raise BadPattern("duplicate capture group name")
        self._names.add(name)
        self.position = end + 1
        return True

    def _set_flags(self) -> bool:
        """Takes flags up to `:` or `)`; whether it was `)`. They hold from here on."""
        value, seen = True, False
        while True:
            match self._take():
                case "i":
                    self._flags = _Flags(value, self._flags.lines, self._flags.newline)
                case "m":
                    self._flags = _Flags(self._flags.fold, value, self._flags.newline)
                case "s":
                    self._flags = _Flags(self._flags.fold, self._flags.lines, value)
                case "U":
                    pass  # greedy or not, what matches is the same
                case "-" if value:
                    value, seen = False, False
                    continue
                case (":" | ")") as end if value or seen:
                    return end == ")"
                case _:
                    raise BadPattern("invalid or unsupported Perl syntax")
            seen = True

    def _escape(self) -> Node:
        character = self._take()
        match character:
            case "A":
                return Place.TEXT_BEGIN
            case "z":
                return Place.TEXT_END
            case "b":
                return Place.WORD_EDGE
            case "B":
                return Place.NOT_WORD_EDGE
            case _:
                pass
        self.position -= len(character)
        found = self._class_escape()
        return found if found is not None else self._literal(self._escaped_character())

    def _class_escape(self) -> Characters | None:
        r"""`\d`, `\pL` and their like, after the backslash; None if it is none."""
        character = self._peek()
        fold = self._flags.fold
        if character and character.lower() in _PERL:
            self.position += 1
            return characters.of(_PERL[character.lower()], negated=character.isupper(), fold=fold)
        if character in ("p", "P"):
            self.position += 1
            return self._category(negated=character == "P")
        return None

    def _category(self, *, negated: bool) -> Characters:
        name = self._take()
        if name == "{":
            end = self.text.find("}", self.position)
            if end < 0:
                raise BadPattern("invalid character class range")
            name = self.text[self.position : end]
            self.position = end + 1
        if name.startswith("^"):
            negated, name = not negated, name[1:]
        if name == "Any":
            return characters.of([(0, characters.MAX)], negated=negated)
        if name not in CATEGORIES:
            raise BadPattern("invalid character class range")
        return Characters(categories=(name,), negated=negated, fold=self._flags.fold)

    def _escaped_character(self) -> str:
        character = self._take()
        if character in _ESCAPED:
            return _ESCAPED[character]
        if character == "x":
            return self._hex()
        if character == "0" or (character and character in "1234567" and self._peek_in("01234567")):
            digits = character
            while len(digits) < 3 and self._peek_in("01234567"):
                digits += self._take()
            return chr(int(digits, 8))
        if character.isascii() and character and not character.isalnum():
            return character
        raise BadPattern("invalid escape sequence" if character else "trailing backslash at end of expression")

    def _hex(self) -> str:
        if self._accept("{"):
            end = self.text.find("}", self.position)
            digits = self.text[self.position : end] if end >= 0 else ""
            self.position = end + 1
        else:
            digits = self.text[self.position : self.position + 2]
            self.position += 2
            if len(digits) != 2:
                raise BadPattern("invalid escape sequence")
        if not digits or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
            raise BadPattern("invalid escape sequence")
        code = int(digits, 16)
        if code > characters.MAX:
            raise BadPattern("invalid escape sequence")
        return chr(code)

    def _bracket(self) -> Characters:
        negated = self._accept("^")
        ranges: list[Range] = []
        others: list[Characters] = []
        first = True
        while first or self._peek() != "]":
            first = False
            if not self._peek():
                raise BadPattern("missing closing ]")
            found = self._class_in_bracket()
            if found is not None:
                others.append(found)
            else:
                ranges.append(self._range())
        self._take()
        return Characters(tuple(ranges), others=tuple(others), negated=negated, fold=self._flags.fold)

    def _class_in_bracket(self) -> Characters | None:
        if self.text.startswith("[:", self.position):
            end = self.text.find(":]", self.position + 2)
            if end >= 0:
                name = self.text[self.position + 2 : end]
                self.position = end + 2
                inverted = name.startswith("^")
                if name.removeprefix("^") not in POSIX:
                    raise BadPattern("invalid character class range")
                return characters.of(POSIX[name.removeprefix("^")], negated=inverted, fold=self._flags.fold)
        if self._peek() == "\\":
            self.position += 1
            found = self._class_escape()
            if found is None:
                self.position -= 1
            return found
        return None

    def _range(self) -> Range:
        low = high = self._bracket_character()
        if self._peek() == "-" and self.text[self.position + 1 : self.position + 2] not in ("", "]"):
            self.position += 1
            high = self._bracket_character()
        if high < low:
            raise BadPattern("invalid character class range")
        return ord(low), ord(high)

    def _bracket_character(self) -> str:
        character = self._take()
        return self._escaped_character() if character == "\\" else character

    def _peek(self) -> str:
        return self.text[self.position : self.position + 1]

    def _peek_in(self, wanted: str) -> bool:
        return bool(self._peek()) and self._peek() in wanted

    def _take(self) -> str:
        character = self._peek()
        self.position += len(character)
        return character

    def _accept(self, word: str) -> bool:
        if self.text.startswith(word, self.position):
            self.position += len(word)
            return True
        return False


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and (text == "0" or not text.startswith("0")) and len(text) < 10
