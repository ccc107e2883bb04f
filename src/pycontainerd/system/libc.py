"""The C library as ctypes sees it, and the one place where a failed call becomes an OSError."""

from __future__ import annotations

import ctypes
import os
from typing import Any, Final

libc: Final = ctypes.CDLL(None, use_errno=True)
"""Calls through it release the interpreter's lock."""

_syscall: Final = libc.syscall
_syscall.restype = ctypes.c_long


def failure(*paths: str | bytes | None) -> OSError:
    """The OSError of the call that has just failed, naming at most two paths."""
    return failure_of(ctypes.get_errno(), *paths)


def failure_of(number: int, *paths: str | bytes | None) -> OSError:
    """The OSError (of the fitting subclass) for an error number."""
    names = [os.fsdecode(path) for path in paths if path]
    first = names[0] if names else None
    if len(names) > 1:
        return OSError(number, os.strerror(number), first, None, names[1])
    return OSError(number, os.strerror(number), first) if first else OSError(number, os.strerror(number))


def checked(result: int, *paths: str | bytes | None) -> int:
    """*result* of a call; raises its OSError if it is negative."""
    if result < 0:
        raise failure(*paths)
    return result


def syscall(number: int, *arguments: Any) -> int:
    """The raw system call *number*; see syscall(2). Integers are passed as longs, the rest as ctypes has it."""
    return int(_syscall(ctypes.c_long(number), *(_long(argument) for argument in arguments)))


def _long(argument: Any) -> Any:
    return ctypes.c_long(argument) if isinstance(argument, int) else argument
