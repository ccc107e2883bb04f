"""Putting the byte code of what children run into pages of its own.

The interpreter counts in the code that it executes, so each page with such code is copied for each child; and code lies
where its module was loaded, among all that a child never runs. Worth 200 kB a shim.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import CodeType, FrameType, FunctionType
from typing import Any, Final

from pycontainerd.spawner.settling import settle

_holes: Final[list[object]] = []


def gather(play: Callable[[], None]) -> int:
    """Runs *play*, and gives every function that ran a copy of its code, one beside the other: their number.

    The copies are as if they had never run; to have them specialized, play again.
    """
    ran = _codes_of(play)
    _holes.append(settle())  # else the copies would fill them
    functions = [each for each in gc.get_objects() if type(each) is FunctionType and id(each.__code__) in ran]
    functions.sort(key=lambda function: (function.__module__ or "", function.__code__.co_firstlineno))
    copies: dict[int, CodeType] = {}
    for function in functions:
        code = function.__code__
        copies[id(code)] = copies.get(id(code)) or _copy(code)
        function.__code__ = copies[id(code)]
    return len(copies)


def _codes_of(play: Callable[[], None]) -> dict[int, CodeType]:
    ran: dict[int, CodeType] = {}

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            ran[id(frame.f_code)] = frame.f_code

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        play()
    finally:
        sys.setprofile(before)
    return ran


def _copy(code: CodeType) -> CodeType:
    """A copy, with copies of the code that stands inside it: comprehensions, lambdas, nested functions."""
    inner = tuple(_copy(each) if isinstance(each, CodeType) else each for each in code.co_consts)
    return code.replace(co_consts=inner)
