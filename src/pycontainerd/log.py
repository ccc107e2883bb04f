"""Log lines as the original writes them, so that the tools which read its log read ours.

    time="2026-11-24T07:36:28.784645125Z" level=info msg="starting containerd" revision= version=2.3.4

The text form quotes a value only where it must; the JSON form is one object a line. Fields come by
`logger.info("loading plugin", extra=fields(id=uri))` and are sorted by name; an exception becomes the field `error`.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Mapping
from typing import Any, Final, TextIO

from pycontainerd.errors import InvalidArgument

TRACE: Final = 5
LEVELS: Final = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
    "panic": logging.CRITICAL,
}
"""The names of levels as `debug.level` and `--log-level` take them."""

_NAMES: Final = {
    TRACE: "trace",
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warning",
    logging.ERROR: "error",
    logging.CRITICAL: "fatal",
}
_PLAIN: Final = re.compile(r"[A-Za-z0-9\-._/@^+]*")
_ESCAPES: Final = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def fields(**values: object) -> dict[str, Any]:
    """The `extra` of a log call: what stands behind the message as `name=value`."""
    return {"fields": values}


def level_of(name: str) -> int:
    """The level called *name*, in any case. Raises InvalidArgument with the words of the original."""
    try:
        return LEVELS[name.lower()]
    except KeyError:
        raise InvalidArgument(f'not a valid logrus Level: "{name}"', bare=True) from None


def quote(value: str) -> str:
    """*value* as a Go string literal, as logrus quotes it."""
    return f'"{"".join(_escape(character) for character in value)}"'


def _escape(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, as Python carries it
        return f"\\x{code - 0xDC00:02x}"
    if character.isprintable():
        return character
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def stamp(now_ns: int) -> str:
    """*now_ns* since 1970 as RFC 3339 with nanoseconds, in the time zone of the process."""
    seconds, rest = divmod(now_ns, 1_000_000_000)
    local = time.localtime(seconds)
    sign, (hours, minutes) = "-" if local.tm_gmtoff < 0 else "+", divmod(abs(local.tm_gmtoff) // 60, 60)
    zone = f"{sign}{hours:02d}:{minutes:02d}" if local.tm_gmtoff else "Z"
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{rest:09d}{zone}"


class TextFormatter(logging.Formatter):
    """`time=… level=… msg=… name=value …`"""

    def format(self, record: logging.LogRecord) -> str:
        head = f'time="{stamp(time.time_ns())}" level={_name(record.levelno)} msg={_value(record.getMessage())}'
        rest = "".join(f" {key}={_value(str(value))}" for key, value in _fields(record))
        return head + rest + _trace(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: the fields, level, msg and time, sorted by name."""

    def format(self, record: logging.LogRecord) -> str:
        values: dict[str, Any] = {key: _json(value) for key, value in _fields(record)}
        values |= {"level": _name(record.levelno), "msg": record.getMessage(), "time": stamp(time.time_ns())}
        return json.dumps(dict(sorted(values.items())), separators=(",", ":"), ensure_ascii=False)


def configure(level: str, form: str, stream: TextIO | None = None) -> None:
    """Sends the log of the process to *stream* (stderr), from *level* on, as text or JSON.

    Empty words mean info and text. Raises InvalidArgument for words that mean nothing.
    """
    formatters: Mapping[str, type[logging.Formatter]] = {
        "": TextFormatter,
        "text": TextFormatter,
        "json": JsonFormatter,
    }
    if form not in formatters:
        raise InvalidArgument(f"unknown log format: {form}", bare=True)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatters[form]())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level_of(level or "info"))
    # A record needs neither of these, and they cost a system call each.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def _fields(record: logging.LogRecord) -> list[tuple[str, object]]:
    values: dict[str, object] = dict(getattr(record, "fields", {}))
    if record.exc_info and record.exc_info[1] is not None:
        values.setdefault("error", record.exc_info[1])
    # A field that would hide the line's own words moves aside, as logrus does it.
    return sorted((f"fields.{key}" if key in ("time", "msg", "level") else key, value) for key, value in values.items())


def _trace(record: logging.LogRecord) -> str:
    if not record.exc_info or record.levelno < logging.ERROR:
        return ""
    return " stack=" + quote(logging.Formatter().formatException(record.exc_info))


def _json(value: object) -> object:
    return value if isinstance(value, str | int | float | bool | list | dict) or value is None else str(value)


def _value(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else quote(text)


def _name(level: int) -> str:
    return _NAMES.get(level, "info")
