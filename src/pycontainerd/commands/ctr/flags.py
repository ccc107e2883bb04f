"""Flags as the commands declare them, and how words of a command line become their values.

The rules are those of the original's command line: options stop at the first word that is none, `-x` and
`--x` are the same, short flags don't bundle, lists are repeated flags. Declared by hand rather than with
dataclasses: a command in a loop pays for every import.
"""

from __future__ import annotations

import os

BOOL = "bool"
STRING = "string"
STRINGS = "string-list"
DURATION = "duration"
INT = "int"
INTS = "int-list"
INT64 = "int64"
UINT64 = "uint64"
FLOAT = "float64"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Value = bool | str | int | float | list[str] | list[int]

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))
_LIMITS = {INT: (-(1 << 63), (1 << 63) - 1), INT64: (-(1 << 63), (1 << 63) - 1), UINT64: (0, (1 << 64) - 1)}
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


class UsageError(Exception):
    """A command line that can't be meant. The text is shown with `Incorrect Usage: ` before it, and help
    after it.
    """


class Flag:
    """One flag: its names, the first the main one; its type; its default; what it is for."""

    __slots__ = ("default", "env", "hidden", "kind", "names", "required", "shown_default", "usage")

    def __init__(
        self,
        names: str,
        kind: str = STRING,
        usage: str = "",
        *,
        default: Value | None = None,
        env: str = "",
        hidden: bool = False,
        required: bool = False,
        shown_default: str = "",
    ) -> None:
        """*names* are separated by commas; *shown_default* replaces the default in help."""
        self.names = tuple(names.split(","))
        self.kind = kind
        self.usage = usage
        self.default: Value = _ZERO[kind] if default is None else default
        self.env = env
        self.hidden = hidden
        self.required = required
        self.shown_default = shown_default

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def takes_value(self) -> bool:
        return self.kind != BOOL


_ZERO: dict[str, Value] = {
    BOOL: False,
    STRING: "",
    STRINGS: [],
    DURATION: 0.0,
    INT: 0,
    INTS: [],
    INT64: 0,
    UINT64: 0,
    FLOAT: 0.0,
}

HELP = Flag("help,h", BOOL, "Show help")


class Values:
    """The flags of one level (the program, a group, a command) with their values."""

    __slots__ = ("_by_name", "_given", "_values")

    def __init__(self, flags: Iterable[Flag]) -> None:
        self._by_name = {name: flag for flag in flags for name in flag.names}
        self._values: dict[str, Value] = {}
        self._given: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def __getitem__(self, name: str) -> Value:
        flag = self._by_name[name]
        return self._values.get(flag.name, flag.default)

    def is_set(self, name: str) -> bool:
        """Whether the flag was given, on the command line or in the environment."""
        return self._by_name[name].name in self._given

    def flags(self) -> list[Flag]:
        """Each flag once, in the order of declaration."""
        return list(dict.fromkeys(self._by_name.values()))

    def set(self, flag: Flag, text: str) -> None:
        """Gives *flag* the value that *text* means. Raises ValueError."""
        value = parse_value(flag.kind, text)
        if isinstance(value, list):
            before = self._values.get(flag.name)
            value = [*before, *value] if isinstance(before, list) else value
        self._values[flag.name] = value
        self._given.add(flag.name)

    def parse(self, words: Sequence[str]) -> list[str]:
        """Takes the flags at the head of *words* and returns the rest. Raises UsageError."""
        place = 0
        while place < len(words):
            word = words[place]
            if len(word) < 2 or word[0] != "-":
                break
            place += 1
            if word == "--":
                break
            place += self._take(word, words[place] if place < len(words) else None)
        return list(words[place:])

    def _take(self, word: str, following: str | None) -> int:
        """Takes the flag *word*; returns how many of the words after it belong to it."""
        name = word[2:] if word.startswith("--") else word[1:]
        if not name or name[0] in "-=":
            raise UsageError(f"bad flag syntax: {word}")
        name, equals, text = name.partition("=")
        flag = self._by_name.get(name)
        if flag is None:
            raise UsageError(f"flag provided but not defined: -{name}")
        used = 0
        if flag.takes_value and not equals:
            if following is None:
                raise UsageError(f"flag needs an argument: -{name}")
            text, used = following, 1
        elif not flag.takes_value and not equals:
            text = "true"
        try:
            self.set(flag, text)
        except ValueError:
            what = "invalid boolean value" if flag.kind == BOOL else "invalid value"
            where = f"-{name}" if flag.kind == BOOL else f"flag -{name}"
            raise UsageError(f'{what} "{text}" for {where}: parse error') from None
        return used

    def take_environment(self) -> None:
        """Gives flags that are not set the values of their environment variables.

        A variable that is set but empty empties a string, and is nothing to other kinds. Raises UsageError.
        """
        for flag in self.flags():
            if not flag.env or flag.name in self._given or flag.env not in os.environ:
                continue
            text = os.environ[flag.env]
            if not text and flag.kind != STRING:
                continue
            try:
                self.set(flag, text)
            except ValueError:
                raise UsageError(
                    f'could not parse "{text}" as {flag.kind} value from environment variable "{flag.env}"'
                    f" for flag {flag.name}"
                ) from None

    def missing(self) -> list[str]:
        """The required flags that were not given."""
        return [flag.name for flag in self.flags() if flag.required and flag.name not in self._given]


def parse_value(kind: str, text: str) -> Value:
    """The value of *kind* that *text* means. Raises ValueError."""
    if kind == STRING:
        return text
    if kind == BOOL:
        if text in _TRUE:
            return True
        if text in _FALSE:
            return False
        raise ValueError(text)
    if kind == STRINGS:
        return [text]
    if kind == INTS:
        return [parse_integer(INT, part.strip()) for part in text.split(",")]
    if kind == DURATION:
        return parse_duration(text)
    if kind == FLOAT:
        return _parse_float(text)
    return parse_integer(kind, text)


def parse_integer(kind: str, text: str) -> int:
    """A whole number within the limits of *kind*: decimal, or with a prefix of another base. Raises
    ValueError.
    """
    digits = text.lstrip("+-")
    if len(text) - len(digits) > 1 or not digits or not text.isascii() or digits != digits.strip():
        raise ValueError(text)
    if kind == UINT64 and text[0] in "+-":
        raise ValueError(text)
    octal = digits[0] == "0" and digits.replace("_", "").isdecimal() and len(digits) > 1
    value = int(digits, 8) if octal else int(digits, 0)
    if text[0] == "-":
        value = -value
    low, high = _LIMITS[kind]
    if not low <= value <= high:
        raise ValueError(text)
    return value


def _parse_float(text: str) -> float:
    if text != text.strip() or "__" in text:
        raise ValueError(text)
    return float(text)


def parse_duration(text: str) -> float:
    """Seconds of a duration in Go's syntax: `1h30m`, `500ms`, `0`. Raises ValueError."""
    rest = text.lstrip("+-")
    if len(text) - len(rest) > 1 or not rest:
        raise ValueError(text)
    sign = -1 if text[0] == "-" else 1
    if rest == "0":
        return 0.0
    total = 0.0
    while rest:
        number = _head(rest, "0123456789.")
        rest = rest[len(number) :]
        unit = _head(rest, "nuµμmsh")
        rest = rest[len(unit) :]
        if number in {"", "."} or number.count(".") > 1 or unit not in _UNITS:
            raise ValueError(text)
        total += float(number) * _UNITS[unit]
    return sign * total


def _head(text: str, characters: str) -> str:
    return text[: len(text) - len(text.lstrip(characters))]
