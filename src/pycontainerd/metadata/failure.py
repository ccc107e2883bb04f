"""SQLite's errors as ours: the one place where they are translated."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pycontainerd.errors import DataLoss, Error, FailedPrecondition, Internal, ResourceExhausted, Unavailable

_KINDS: Final[dict[int, type[Error]]] = {
    sqlite3.SQLITE_BUSY: Unavailable,
    sqlite3.SQLITE_LOCKED: Unavailable,
    sqlite3.SQLITE_NOMEM: ResourceExhausted,
    sqlite3.SQLITE_FULL: ResourceExhausted,
    sqlite3.SQLITE_TOOBIG: ResourceExhausted,
    sqlite3.SQLITE_IOERR: Unavailable,
    sqlite3.SQLITE_READONLY: FailedPrecondition,
    sqlite3.SQLITE_CANTOPEN: FailedPrecondition,
    sqlite3.SQLITE_PERM: FailedPrecondition,
    sqlite3.SQLITE_CORRUPT: DataLoss,
    sqlite3.SQLITE_NOTADB: DataLoss,
}


def translate(error: sqlite3.Error, doing: str) -> Error:
    """What *error* means to a caller; *doing* says what was tried and with which file or object."""
    code = getattr(error, "sqlite_errorcode", None)
    kind = _KINDS.get(code & 0xFF, Internal) if code is not None else Internal
    hint = ""
    if kind is DataLoss:
        hint = "the file is damaged: stop the daemon, keep the file, restore it from a backup"
    translated = kind(f"{doing}: {error}", hint=hint)
    translated.__cause__ = error
    return translated


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raises what SQLite raises inside as one of ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, doing) from error
