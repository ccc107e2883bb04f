"""Log lines on standard error, in the original's two forms: for a terminal, and for everything else."""

from __future__ import annotations

import os
import sys
import time

_STARTED = time.monotonic()
_LEVELS = {"debug": ("DEBU", 37), "info": ("INFO", 36), "warning": ("WARN", 33), "error": ("ERRO", 31)}
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._/@^+")
_WIDTH = 44
"""Columns that the message takes on a terminal, so that fields stand below each other."""

debugging = False
"""Whether `--debug` was given; set once by the context of the command."""


def debug(message: str, **fields: object) -> None:
    if debugging:
        _log("debug", message, fields)


def info(message: str, **fields: object) -> None:
    _log("info", message, fields)


def warning(message: str, **fields: object) -> None:
    _log("warning", message, fields)


def error(message: str, **fields: object) -> None:
    _log("error", message, fields)


def _log(level: str, message: str, fields: dict[str, object]) -> None:
    write = _for_terminal if os.isatty(2) else _for_others
    sys.stdout.flush()
    sys.stderr.write(write(level, message, fields) + "\n")
    sys.stderr.flush()


def _for_others(level: str, message: str, fields: dict[str, object]) -> str:
    pairs: list[tuple[str, object]] = [("time", local_time(time.time())), ("level", level), ("msg", message)]
    pairs += sorted(fields.items())
    return " ".join(f"{key}={quoted(str(value))}" for key, value in pairs)


def _for_terminal(level: str, message: str, fields: dict[str, object]) -> str:
    word, colour = _LEVELS[level]
    seconds = int(time.monotonic() - _STARTED)
    tail = "".join(f" \x1b[{colour}m{key}\x1b[0m={quoted(str(value))}" for key, value in sorted(fields.items()))
    return f"\x1b[{colour}m{word}\x1b[0m[{seconds:04d}] {message:<{_WIDTH}} {tail}"


def quoted(text: str) -> str:
    """*text*, in quotes if it has a character that a plain value can't have."""
    if all(character in _PLAIN for character in text):
        return text
    return go_quote(text)


def go_quote(text: str) -> str:
    """*text* as a string of the language Go."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(map(_escaped, text)) + '"'


_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\n": "\\n",
    "\t": "\\t",
    "\r": "\\r",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\v": "\\v",
}


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    number = ord(character)
    if number < 0x80:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def local_time(seconds: float) -> str:
    """RFC 3339 to the second, in the local zone."""
    here = time.localtime(seconds)
    offset = here.tm_gmtoff // 60
    zone = f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02d}:{abs(offset) % 60:02d}" if offset else "Z"
    return time.strftime("%Y-%m-%dT%H:%M:%S", here) + zone
