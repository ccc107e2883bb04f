"""Snapshots as the rows of a namespace, each naming one of the backend's."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from pycontainerd.errors import Internal
from pycontainerd.metadata import kinds, labels, objects
from pycontainerd.metadata.filters.sql import Where
from pycontainerd.metadata.references import Edge
from pycontainerd.metadata.transaction import Transaction
from pycontainerd.snapshots import codec
from pycontainerd.snapshots.model import Info

PARENT: Final = "parent"
"""The origin of the edge by which a snapshot holds its parent."""

_ONE: Final = """
SELECT objects.id, objects.name, snapshots.backend, snapshots.parent, objects.created_ns, objects.updated_ns
FROM objects JOIN snapshots ON snapshots.id = objects.id
WHERE objects.namespace = (SELECT id FROM objects WHERE namespace = 0 AND kind = 'namespaces' AND name = ?)
  AND objects.kind = ? AND objects.name = ? AND objects.reserved = 0
"""
_BY_ID: Final = """
SELECT objects.id, objects.name, snapshots.backend, snapshots.parent, objects.created_ns, objects.updated_ns
FROM objects JOIN snapshots ON snapshots.id = objects.id
WHERE objects.id = ?
"""
_PAGE: Final = """
SELECT objects.name, snapshots.backend, snapshots.wire
FROM objects CROSS JOIN snapshots ON snapshots.id = objects.id
WHERE objects.namespace = (SELECT id FROM objects WHERE namespace = 0 AND kind = 'namespaces' AND name = ?)
  AND objects.kind = ? AND objects.name > ? AND objects.reserved = 0
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


class Rows:
    """The rows of one snapshotter, in all namespaces."""

    def __init__(self, snapshotter: str) -> None:
        self._snapshotter = snapshotter
        self.kind = kinds.snapshots(snapshotter)

    def find(self, connection: sqlite3.Connection, namespace: str, name: str) -> Row | None:
        row = connection.execute(_ONE, (namespace, self.kind, name)).fetchone()
        return None if row is None else Row(*row)

    def after(
        self, connection: sqlite3.Connection, namespace: str, name: str, count: int, condition: Where
    ) -> list[tuple[str, str, bytes]]:
        """The next *count* snapshots behind *name* that meet *condition*, in the order of names: each one's name, what
        the backend calls it, and what is sent of its row.
        """
        sql = f"{_PAGE} AND {condition.sql} ORDER BY objects.name LIMIT ?"
        arguments = (namespace, self.kind, name, *condition.arguments, count)
        return [
            (name, backend, wire or self._wire(connection, namespace, name))
            for name, backend, wire in connection.execute(sql, arguments).fetchall()
        ]

    def _wire(self, connection: sqlite3.Connection, namespace: str, name: str) -> bytes:
        """What is sent of a row that an earlier version wrote."""
        row = self.find(connection, namespace, name)
        if row is None:
            raise Internal(f"snapshot {name} went while it was read")
        return _encoded(connection, row)

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
        labels.add(tx, id_, self.kind, said)
        if not reserved:
            self._describe(tx, id_)
        return id_

    def show(self, tx: Transaction, id_: int) -> None:
        """Makes a reserved row visible, as made now."""
        objects.finish(tx, id_)
        self._describe(tx, id_)

    def relabel(self, tx: Transaction, row: Row, said: Mapping[str, str]) -> dict[str, str]:
        """Makes *said* the labels of a row. Returns what is stored."""
        kept = labels.replace(tx, row.id, said)
        tx.execute("UPDATE objects SET updated_ns = ? WHERE id = ?", (tx.now_ns, row.id))
        self._describe(tx, row.id)
        return kept

    def _describe(self, tx: Transaction, id_: int) -> None:
        """Writes down what is sent of a visible row."""
        row = Row(*tx.execute(_BY_ID, (id_,)).fetchone())
        tx.execute("UPDATE snapshots SET wire = ? WHERE id = ?", (_encoded(tx.connection, row), id_))

    def forget(self, tx: Transaction, id_: int) -> None:
        """Drops a row whose snapshot is gone."""
        tx.execute("DELETE FROM objects WHERE id = ?", (id_,))

    def give_up(self, tx: Transaction, id_: int) -> bool:
        """Drops a row that is still in the making; False if it was shown, or is gone."""
        return tx.execute("DELETE FROM objects WHERE id = ? AND reserved <> 0", (id_,)).rowcount > 0


def merged(wire: bytes, known: Info) -> bytes:
    """What is sent of a snapshot: what is stored of its row, with what the backend knows."""
    return codec.merged(wire, known)


def decode(wire: bytes) -> Info:
    """The snapshot of which *wire* is sent."""
    return codec.decode(wire)


def _encoded(connection: sqlite3.Connection, row: Row) -> bytes:
    said = labels.read(connection, row.id)
    return codec.encode_row(row.name, row.parent, row.created_ns, row.updated_ns, said)
