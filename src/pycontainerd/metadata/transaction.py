"""What a store holds while it writes: the connection inside its own savepoint, and what the commit will bring."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Literal, overload

from pycontainerd.metadata import kinds

_FIND_NAMESPACE = "SELECT id FROM objects WHERE namespace = 0 AND kind = 'namespaces' AND name = ?"


def find_namespace(connection: sqlite3.Connection, name: str) -> int | None:
    """The id of the namespace *name*, None if nothing was ever stored in it."""
    row = connection.execute(_FIND_NAMESPACE, (name,)).fetchone()
    return None if row is None else int(row[0])


class Transaction:
    """One operation of the writer. What raises inside undoes this operation, and no other.

    *now_ns* is the time at which the operation began. Nothing may be awaited here, and no backend called.
    """

    __slots__ = ("after", "connection", "dirty", "expiry_ns", "now_ns")

    def __init__(self, connection: sqlite3.Connection, now_ns: int) -> None:
        self.connection = connection
        self.now_ns = now_ns
        self.dirty: set[str] = set()
        self.expiry_ns: int | None = None
        self.after: list[Callable[[], None]] = []

    def execute(self, sql: str, arguments: Any = ()) -> sqlite3.Cursor:
        """Runs one statement."""
        return self.connection.execute(sql, arguments)

    def dirtied(self, kind: str) -> None:
        """Says that something of *kind* (see `kinds`) lost a row or a reference: the collector has work."""
        self.dirty.add(kind)

    def expires(self, at_ns: int) -> None:
        """Says that something stops being a root at *at_ns*: the collector wakes then."""
        self.expiry_ns = at_ns if self.expiry_ns is None else min(self.expiry_ns, at_ns)

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Calls *callback* in the loop once the operation is durable, before its caller goes on, even when the
        caller went away: for events. What it raises is what the caller gets; the commit stands."""
        self.after.append(callback)

    @overload
    def namespace_id(self, name: str, *, create: Literal[True] = True) -> int: ...

    @overload
    def namespace_id(self, name: str, *, create: bool) -> int | None: ...

    def namespace_id(self, name: str, *, create: bool = True) -> int | None:
        """The id of the namespace *name*, which the first object in it makes."""
        found = find_namespace(self.connection, name)
        if found is not None or not create:
            return found
        cursor = self.execute(
            "INSERT INTO objects (namespace, kind, name, created_ns, updated_ns) VALUES (0, ?, ?, ?, ?)",
            (kinds.NAMESPACES, name, self.now_ns, self.now_ns),
        )
        return cursor.lastrowid

    def next_in_sequence(self, scope: str, namespace: str = "") -> int:
        """The next number, from 1, of *scope* in *namespace*: `ingests`, `snapshots/overlayfs`. Never given twice,
        not even after the namespace was deleted; a number of an operation that failed is given again."""
        row = self.execute(
            "INSERT INTO sequences (scope, namespace, last) VALUES (?, ?, 1)"
            " ON CONFLICT (scope, namespace) DO UPDATE SET last = last + 1 RETURNING last",
            (scope, namespace),
        ).fetchone()
        return int(row[0])
