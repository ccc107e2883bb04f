"""The templates of the transformer `format`: a part of the language of Go's text/template.

Known are text, actions with a number, a text, `true`, `false` or a function with numbers, parentheses around one,
comments, and the marks that trim space. That is what snapshotters write: `{{ mount 0 }}`, `{{ overlay 0 2 }}`.
Whatever else that language has (variables, branches, pipelines) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pycontainerd.activations.model import Active
from pycontainerd.errors import Unknown

_OPEN: Final = "{{"
_SPACE: Final = " \t\r\n"
_TOKEN: Final = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([+-]?\d[\w.]*)|([A-Za-z_]\w*)|([().$|]|:?=|\S))')

Function = Callable[..., str]


def filled(text: str, mounted: Sequence[Active]) -> str:
    """*text* with its actions replaced by what they say of *mounted*. Raises Unknown with the words of Go."""
    functions = _functions(mounted)
    out: list[str] = []
    rest, trim = text, False
    while True:
        before, opened, rest = rest.partition(_OPEN)
        if trim:
            before = before.lstrip(_SPACE)
        if not opened:
            return "".join((*out, before))
        column = len(text) - len(rest)
        action, trims_left, trim, rest = _action(rest)
        out.append(before.rstrip(_SPACE) if trims_left else before)
        if action is not None:
            out.append(_Action(action, column + (1 if trims_left else 0), functions).value())


def _action(rest: str) -> tuple[str | None, bool, bool, str]:
    """The action at the head of *rest* (None for a comment), what it trims on either side, and what follows."""
    trims_left = rest[:1] == "-" and rest[1:2] in _SPACE and len(rest) > 1
    body = rest[1:] if trims_left else rest
    comment = body.lstrip(_SPACE)
    if comment.startswith("/*"):
        _, closed, after = comment.partition("*/")
        trims_right = re.match(r"\s+-}}", after) is not None
        after = re.sub(r"^\s+-", "", after) if trims_right else after
        if not closed or not after.startswith("}}"):
            what = "comment ends before closing delimiter" if closed else "unclosed comment"
            raise Unknown(f"template: :1: {what}")
        return None, trims_left, trims_right, after[2:]
    end = _end(body)
    if end < 0:
        raise Unknown("template: :1: unclosed action")
    action, after = body[:end], body[end + 2 :]
    trims_right = len(action) > 1 and action[-1] == "-" and action[-2] in _SPACE
    return action[:-1] if trims_right else action, trims_left, trims_right, after


def _end(body: str) -> int:
    """Where the action ends; a closing mark inside of a quoted text is text."""
    quoted = False
    for index, character in enumerate(body):
        if quoted:
            quoted = character != '"' or body[index - 1] == "\\"
        elif character == '"':
            quoted = True
        elif body.startswith("}}", index):
            return index
    return -1


class _Action:
    """One action: its value is what it prints."""

    def __init__(self, text: str, column: int, functions: Mapping[str, tuple[int, Function]]) -> None:
        self._tokens = [(match.start(match.lastindex or 0), match[0].strip()) for match in _TOKEN.finditer(text)]
        self._tokens = [(at + column, token) for at, token in self._tokens if token]
        self._functions = functions

    def value(self) -> str:
        tokens = self._tokens
        while len(tokens) > 1 and tokens[0][1] == "(" and tokens[-1][1] == ")":
            tokens = tokens[1:-1]
        if not tokens:
            raise Unknown("template: :1: missing value for command")
        (column, head), arguments = tokens[0], tokens[1:]
        if not arguments and (plain := _plain(head)) is not None:
            return plain
        if head == "nil":
            raise Unknown(f'template: :1:{column}: executing "" at <nil>: nil is not a command')
        if head not in self._functions:
            if head.isidentifier():
                raise Unknown(f'template: :1: function "{head}" not defined')
            raise Unknown(f"template: :1: {head} is not supported here")
        return self._call(column, head, arguments)

    def _call(self, column: int, name: str, arguments: Sequence[tuple[int, str]]) -> str:
        count, function = self._functions[name]
        if len(arguments) != count:
            raise Unknown(
                f'template: :1:{column}: executing "" at <{name}>: wrong number of args for {name}: '
                f"want {count} got {len(arguments)}"
            )
        numbers = []
        for at, argument in arguments:
            number = _number(argument)
            if number is None:
                raise Unknown(f'template: :1:{at}: executing "" at <{argument}>: expected integer; found {argument}')
            numbers.append(number)
        try:
            return function(*numbers)
        except IndexError as error:
            called = " ".join((name, *(argument for _, argument in arguments)))
            raise Unknown(f'template: :1:{column}: executing "" at <{called}>: error calling {name}: {error}') from None


def _plain(token: str) -> str | None:
    """What a constant prints."""
    if token in ("true", "false"):
        return token
    if token.startswith('"'):
        return re.sub(r"\\(.)", lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), token[1:-1])
    number = _number(token)
    return None if number is None else str(number)


def _number(token: str) -> int | None:
    """A whole number as Go reads one: in any base, and as a float without a fraction."""
    try:
        return int(token, 8 if re.fullmatch(r"[+-]?0\d+", token) else 0)
    except ValueError:
        pass
    try:
        number = float(token)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def _functions(mounted: Sequence[Active]) -> Mapping[str, tuple[int, Function]]:
    def active(index: int) -> Active:
        if not 0 <= index < len(mounted):
            raise IndexError(f"index out of bounds: {index}, has {len(mounted)} active mounts")
        return mounted[index]

    def overlay(first: int, last: int) -> str:
        if not (0 <= first < len(mounted) and 0 <= last < len(mounted)):
            raise IndexError(f"invalid range: {first}-{last}, has {len(mounted)} active mounts")
        step = 1 if first <= last else -1
        return ":".join(mounted[index].point for index in range(first, last + step, step))

    return {
        "source": (1, lambda index: active(index).mount.source),
        "target": (1, lambda index: active(index).mount.target),
        "mount": (1, lambda index: active(index).point),
        "overlay": (2, overlay),
    }
