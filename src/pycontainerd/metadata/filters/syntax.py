"""The grammar of filters: text in, selectors out.

Positions in messages count bytes of UTF-8, as the original's do, and a message shows the byte at which it stopped.
"""

from __future__ import annotations

import enum
import unicodedata
from typing import Final, NamedTuple

from msgspec import Struct

from pycontainerd.errors import InvalidArgument
from pycontainerd.quoting import quote

_QUOTES: Final = '"/|'
_SEPARATORS: Final = ",."
_OPERATOR_CHARACTERS: Final = "=!~"
_FIELD_CHARACTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_SPACES: Final = frozenset(
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_SIMPLE_ESCAPES: Final = {
    "a": b"\a",
    "b": b"\b",
    "f": b"\f",
    "n": b"\n",
    "r": b"\r",
    "t": b"\t",
    "v": b"\v",
    "\\": b"\\",
}
_NUMERIC_ESCAPES: Final = {"x": (16, 2), "u": (16, 4), "U": (16, 8)}
_HEX: Final = "0123456789abcdef"
_MAX_RUNE: Final = 0x10FFFF


class Operator(enum.Enum):
    """What a selector asks of a field."""

    PRESENT = ""
    EQUAL = "=="
    NOT_EQUAL = "!="
    MATCHES = "~="


class Selector(Struct, frozen=True):
    """One condition on one field. In *value*, bytes that are no UTF-8 stand as surrogateescape makes them."""

    path: tuple[str, ...]
    operator: Operator
    value: str = ""


class _Kind(enum.Enum):
    END = enum.auto()
    QUOTED = enum.auto()
    VALUE = enum.auto()
    FIELD = enum.auto()
    SEPARATOR = enum.auto()
    OPERATOR = enum.auto()
    ILLEGAL = enum.auto()
    OTHER = enum.auto()


class _Token(NamedTuple):
    kind: _Kind
    start: int
    text: str
    problem: str = ""


def parse(text: str) -> list[Selector]:
    """The selectors of one filter; none for the empty text. Raises InvalidArgument."""
    return _Parser(text).parse() if text else []


class _Scanner:
    """Cuts the text into tokens. After an operator comes a value, whatever characters it begins with."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self._value_is_due = False

    def peek(self) -> str:
        """The next character, white space included; empty at the end."""
        return self.text[self.position : self.position + 1]

    def next(self) -> _Token:
        while self.peek() and self.peek() in _SPACES:
            self.position += 1
        start, character = self.position, self.peek()
        if not character:
            return _Token(_Kind.END, start, "")
        self.position += 1
        if character == "\0":
            return _Token(_Kind.ILLEGAL, start, character, "unexpected null")
        if character in _QUOTES:
            problem = self._skip_quoted(character)
            kind = _Kind.ILLEGAL if problem else _Kind.QUOTED
            return _Token(kind, start, self.text[start : self.position], problem)
        if character in _SEPARATORS:
            self._value_is_due = False
            return _Token(_Kind.SEPARATOR, start, character)
        return self._run(start, character)

    def _run(self, start: int, character: str) -> _Token:
        """An operator, a value or a field: a run of characters of its kind."""
        if character in _OPERATOR_CHARACTERS:
            kind, belongs = _Kind.OPERATOR, _OPERATOR_CHARACTERS.__contains__
            self._value_is_due = True
        elif self._value_is_due:
            kind, belongs = _Kind.VALUE, _in_value
            self._value_is_due = False
        elif character in _FIELD_CHARACTERS:
            kind, belongs = _Kind.FIELD, _FIELD_CHARACTERS.__contains__
        else:
            return _Token(_Kind.OTHER, start, character)
        while self.position < len(self.text) and belongs(self.text[self.position]):
            self.position += 1
        return _Token(kind, start, self.text[start : self.position])

    def _skip_quoted(self, quote_character: str) -> str:
        """Skips to the end of a quoted text. Returns the first thing that is wrong with it."""
        problem = ""
        while True:
            character = self.peek()
            if not character or character in "\n\0":
                return problem or ("unexpected null" if character == "\0" else "quoted literal not terminated")
            self.position += 1
            if character == quote_character:
                return problem
            if character == "\\":
                problem = problem or self._skip_escape(quote_character)

    def _skip_escape(self, quote_character: str) -> str:
        character = self.peek()
        if character and (character in _SIMPLE_ESCAPES or character == quote_character):
            self.position += 1
            return ""
        if character and character in "01234567":
            return self._skip_digits(8, 3)
        if character in _NUMERIC_ESCAPES:
            self.position += 1
            return self._skip_digits(*_NUMERIC_ESCAPES[character])
        return "illegal escape sequence"

    def _skip_digits(self, base: int, count: int) -> str:
        for _ in range(count):
            character = self.peek().lower()
            if not character or character not in _HEX[:base]:
                return "illegal numeric escape sequence"
            self.position += 1
        return ""


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._scanner = _Scanner(text)

    def parse(self) -> list[Selector]:
        selectors = [self._selector()]
        while character := self._scanner.peek():
            if character != ",":
                shown = "\N{REPLACEMENT CHARACTER}" if character == "\0" else character
                raise self._error(self._scanner.position, f"unexpected input: {shown}")
            self._scanner.next()
            selectors.append(self._selector())
        return selectors

    def _selector(self) -> Selector:
        path = [self._field()]
        while self._scanner.peek() == ".":
            self._scanner.next()
            path.append(self._field())
        if self._scanner.peek() in ("", ","):
            return Selector(tuple(path), Operator.PRESENT)
        operator = self._operator()
        return Selector(tuple(path), operator, self._value(any_quotes=operator is Operator.MATCHES))

    def _field(self) -> str:
        token = self._scanner.next()
        if token.kind is _Kind.FIELD:
            return token.text
        if token.kind is _Kind.QUOTED:
            return self._unquoted(token, any_quotes=False)
        raise self._error(token.start, token.problem or "expected field or quoted")

    def _operator(self) -> Operator:
        token = self._scanner.next()
        if token.kind is not _Kind.OPERATOR:
            raise self._error(token.start, token.problem or 'expected an operator ("=="|"!="|"~=")')
        try:
            return Operator(token.text)
        except ValueError:
            raise self._error(token.start, f"unsupported operator {quote(token.text)}") from None

    def _value(self, *, any_quotes: bool) -> str:
        token = self._scanner.next()
        if token.kind in (_Kind.VALUE, _Kind.FIELD):
            return token.text
        if token.kind is _Kind.QUOTED:
            return self._unquoted(token, any_quotes=any_quotes)
        raise self._error(token.start, token.problem or "expected value or quoted")

    def _unquoted(self, token: _Token, *, any_quotes: bool) -> str:
        if token.text[0] != '"' and not any_quotes:
            raise self._error(token.start, "invalid quote encountered")
        try:
            return _unescaped(token.text[1:-1]).decode(errors="surrogateescape")
        except ValueError:
            raise self._error(token.start, "unquoting failed: quote syntax error") from None

    def _error(self, position: int, problem: str) -> InvalidArgument:
        raw = self._text.encode()
        at = len(self._text[:position].encode())
        if at < len(raw):
            parts = (raw[:at], raw[at : at + 1], raw[at + 1 :])
            before, here, after = (part.decode(errors="replace") for part in parts)
            where = f"[{before} >|{here}|< {after}]"
        else:
            where = f"[{self._text}]"
        return InvalidArgument(f"filters: parse error: {where}: {problem}: invalid argument")


def _in_value(character: str) -> bool:
    return character != "," and character not in _SPACES and unicodedata.category(character)[0] in "LMNPS"


def _unescaped(text: str) -> bytes:
    """What the inside of a quoted text means. The scanner has seen that all escapes are complete."""
    parts: list[bytes] = []
    position = 0
    while (backslash := text.find("\\", position)) >= 0:
        parts.append(text[position:backslash].encode())
        character = text[backslash + 1]
        if character in _NUMERIC_ESCAPES:
            base, count = _NUMERIC_ESCAPES[character]
            position = backslash + 2 + count
            parts.append(_number(int(text[backslash + 2 : position], base), is_byte=character == "x"))
        elif character in "01234567":
            position = backslash + 4
            parts.append(_number(int(text[backslash + 1 : position], 8), is_byte=True))
        else:
            position = backslash + 2
            parts.append(_SIMPLE_ESCAPES.get(character, character.encode()))
    parts.append(text[position:].encode())
    return b"".join(parts)


def _number(number: int, *, is_byte: bool) -> bytes:
    """A byte, or a code point in UTF-8; a surrogate becomes the replacement character. Raises ValueError."""
    if is_byte:
        return bytes((number,))
    if number > _MAX_RUNE:
        raise ValueError(number)
    return ("\N{REPLACEMENT CHARACTER}" if 0xD800 <= number <= 0xDFFF else chr(number)).encode()
