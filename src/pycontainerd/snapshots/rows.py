"""Snapshots as the rows of a namespace, each naming one of the backend's."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from pycontainerd.metadata import kinds, labels, objects
from pycontainerd.metadata.references import Edge
from pycontainerd.metadata.transaction import Transaction

PAGE: Final = 100
"""Snapshots that one question brings: what one message of a listing holds."""

PARENT: Final = "parent"
"""The origin of the edge by which a snapshot holds its parent."""

_ONE: Final = """
SELECT objects.id, objects.name, snapshots.backend, snapshots.parent, objects.created_ns, objects.updated_ns
FROM objects JOIN snapshots ON snapshots.id = objects.id
WHERE objects.namespace = (SELECT id FROM objects WHERE namespace = 0 AND kind = 'namespaces' AND name = ?)
  AND objects.kind = ? AND objects.name = ? AND objects.reserved = 0
"""
_PAGE: Final = """
SELECT objects.id, objects.name, snapshots.backend, snapshots.parent, objects.created_ns, objects.updated_ns
FROM objects JOIN snapshots ON snapshots.id = objects.id
WHERE objects.namespace = (SELECT id FROM objects WHERE namespace = 0 AND kind = 'namespaces' AND name = ?)
  AND objects.kind = ? AND objects.name > ? AND objects.reserved = 0
ORDER BY objects.name LIMIT ?
"""
_PAGE_LABELS: Final = """
SELECT labels.owner, labels.key, labels.value
FROM objects CROSS JOIN labels ON labels.owner = objects.id
WHERE objects.namespace = (SELECT id FROM objects WHERE namespace = 0 AND kind = 'namespaces' AND name = ?)
  AND objects.kind = ? AND objects.name > ? AND objects.name <= ? AND objects.reserved = 0
"""
_CHILD: Final = """
SELECT 1
FROM objects JOIN snapshots ON snapshots.id = objects.id
WHERE objects.namespace = (SELECT id FROM objects WHERE namespace = 0 AND kind = 'namespaces' AND name = ?)
  AND objects.kind = ? AND snapshots.parent = ? LIMIT 1
"""


class Row(Struct, frozen=True):
    """A snapshot of a namespace. *backend* is what its snapshotter calls it."""

    id: int
    name: str
    backend: str
    parent: str
    created_ns: int
    updated_ns: int
    labels: Mapping[str, str]


class Rows:
    """The rows of one snapshotter, in all namespaces."""

    def __init__(self, snapshotter: str) -> None:
        self._snapshotter = snapshotter
        self.kind = kinds.snapshots(snapshotter)

    def find(self, connection: sqlite3.Connection, namespace: str, name: str) -> Row | None:
        row = connection.execute(_ONE, (namespace, self.kind, name)).fetchone()
        return None if row is None else _row(row, labels.read(connection, row[0]))

    def after(self, connection: sqlite3.Connection, namespace: str, name: str) -> list[Row]:
        """The next PAGE snapshots behind *name*, in the order of names."""
        rows = connection.execute(_PAGE, (namespace, self.kind, name, PAGE)).fetchall()
        if not rows:
            return []
        found: dict[int, dict[str, str]] = {}
        for owner, key, value in connection.execute(_PAGE_LABELS, (namespace, self.kind, name, rows[-1][1])):
            found.setdefault(owner, {})[key] = value
        return [_row(row, found.get(row[0], {})) for row in rows]

    def has_child(self, connection: sqlite3.Connection, namespace: str, name: str) -> bool:
        """Whether another snapshot of the namespace, be it one in the making, grows on *name*."""
        return connection.execute(_CHILD, (namespace, self.kind, name)).fetchone() is not None

    def backends(self, connection: sqlite3.Connection) -> set[str]:
        """What the backend's snapshots are called that rows need, those in the making included."""
        sql = "SELECT backend FROM snapshots WHERE snapshotter = ?"
        return {backend for (backend,) in connection.execute(sql, (self._snapshotter,))}

    def needs(self, connection: sqlite3.Connection, backend: str) -> bool:
        """Whether a row, be it one in the making, needs the backend's snapshot."""
        sql = "SELECT 1 FROM snapshots WHERE snapshotter = ? AND backend = ?"
        return connection.execute(sql, (self._snapshotter, backend)).fetchone() is not None

    def next_backend(self, tx: Transaction, namespace: str, name: str) -> str:
        """What the backend's snapshot for *name* is to be called."""
        return f"{namespace}/{tx.next_in_sequence(self.kind, namespace)}/{name}"

    def insert(
        self,
        tx: Transaction,
        namespace: str,
        name: str,
        *,
        backend: str,
        parent: str,
        said: Mapping[str, str],
        reserved: bool,
    ) -> int | None:
        """Makes a row, its labels and its edge to the parent; None if the name is taken."""
        id_ = objects.insert(tx, namespace, self.kind, name, reserved=reserved)
        if id_ is None:
            return None
        tx.execute(
            "INSERT INTO snapshots (id, snapshotter, backend, parent) VALUES (?, ?, ?, ?)",
            (id_, self._snapshotter, backend, parent),
        )
        if parent:
            objects.add_edge(tx, id_, PARENT, Edge(self.kind, parent, flat=True))
        labels.replace(tx, id_, said)
        return id_

    def show(self, tx: Transaction, id_: int) -> None:
        """Makes a reserved row visible, as made now."""
        objects.finish(tx, id_)
        tx.execute("UPDATE objects SET created_ns = ?1, updated_ns = ?1 WHERE id = ?2", (tx.now_ns, id_))

    def forget(self, tx: Transaction, id_: int) -> None:
        """Drops a row whose snapshot is gone."""
        tx.execute("DELETE FROM objects WHERE id = ?", (id_,))

    def give_up(self, tx: Transaction, id_: int) -> bool:
        """Drops a row that is still in the making; False if it was shown, or is gone."""
        return tx.execute("DELETE FROM objects WHERE id = ? AND reserved <> 0", (id_,)).rowcount > 0


def _row(columns: tuple[int, str, str, str, int, int], said: Mapping[str, str]) -> Row:
    id_, name, backend, parent, created_ns, updated_ns = columns
    return Row(id_, name, backend, parent, created_ns, updated_ns, said)
