"""Opening the file: connections, migrations, and what a crash left."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from pycontainerd.errors import FailedPrecondition
from pycontainerd.metadata import kinds
from pycontainerd.metadata.failure import translated
from pycontainerd.metadata.schema import APPLICATION_ID, LATEST, MIGRATIONS

_FILE_MODE: Final = 0o644
_DIRECTORY_MODE: Final = 0o711
_BUSY_S: Final = 10.0
IMPATIENT_S: Final = 0.1
_CACHE: Final = f"PRAGMA cache_size = -{32 << 10}"
"""KiB of pages that a connection keeps. With SQLite's own 2 MB, each question over 10,000 images reads them anew: a
listing takes half as long again."""

_JOURNAL_LIMIT: Final = 16 << 20
"""Bytes of the write-ahead log that stay on disk after it was taken over; SQLite itself never makes it smaller."""
_STATEMENTS: Final = 256

_DROP_RESERVED: Final = (
    "DELETE FROM objects WHERE id IN (SELECT id FROM objects WHERE (root <> 0 OR reserved <> 0) AND reserved <> 0)"
)
_DROP_STREAMS: Final = """
DELETE FROM objects WHERE kind = ?
    AND namespace IN (SELECT id FROM objects WHERE namespace = 0 AND kind = 'namespaces')
"""
"""Both as indexes find them: the start of a daemon must not read all objects."""


def open_writer(path: Path, *, sync: bool = True) -> sqlite3.Connection:
    """The one connection that writes, its tables made or migrated. See `Database.open` for the errors."""
    path.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
    with translated(f"open metadata database {path}"):
        connection = _connect(path)
        try:
            version = _checked_version(connection, path)
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            connection.execute(f"PRAGMA synchronous = {'FULL' if sync else 'OFF'}")
            connection.execute(f"PRAGMA journal_size_limit = {_JOURNAL_LIMIT}").fetchone()
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA secure_delete = OFF").fetchone()
            connection.execute("PRAGMA temp_store = MEMORY")
            connection.execute(_CACHE)
            _migrate(connection, version)
            _drop_reserved(connection)
        except BaseException:
            connection.close()
            raise
    path.chmod(_FILE_MODE)
    return connection


def open_reader(path: Path, *, busy_s: float = _BUSY_S) -> sqlite3.Connection:
    """A connection that can't write. For a file that another process has locked it waits *busy_s* at most.

    IMPATIENT_S is for one that a loop waits for in place.
    """
    with translated(f"open metadata database {path}"):
        connection = _connect(path, busy_s)
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(_CACHE)
    return connection


def _connect(path: Path, busy_s: float = _BUSY_S) -> sqlite3.Connection:
    return sqlite3.connect(
        path,
        timeout=busy_s,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
    )


def _checked_version(connection: sqlite3.Connection, path: Path) -> int:
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    empty = connection.execute("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)").fetchone()[0]
    if application != APPLICATION_ID and not empty:
        raise FailedPrecondition(f"metadata database {path} is a database of another program")
    if version > LATEST:
        raise FailedPrecondition(
            f"metadata database {path} has schema version {version}, this program knows {LATEST} at most",
            hint="it was written by a newer version: start that one",
        )
    return version


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE; {script} PRAGMA application_id = {APPLICATION_ID};"
            f" PRAGMA user_version = {number}; COMMIT;"
        )


def _drop_reserved(connection: sqlite3.Connection) -> None:
    """Nobody is at work on them any more; the first collection takes what they left on disk. Streams have ended."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_DROP_RESERVED)
    connection.execute(_DROP_STREAMS, (kinds.STREAMS,))
    connection.execute("DELETE FROM backend_snapshots WHERE reserved <> 0")
    connection.execute("COMMIT")
