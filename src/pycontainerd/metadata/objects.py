"""Rows of `objects` and their edges: what all stores do alike.

`find`, `insert` and the like take the id of a namespace; names in it are free text.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from pycontainerd.metadata.references import Edge
from pycontainerd.metadata.transaction import Transaction

BY_NAME: Final = (
    "objects.namespace = (SELECT id FROM objects WHERE namespace = 0 AND kind = 'namespaces' AND name = ?)"
    " AND objects.kind = ? AND objects.name = ? AND objects.reserved = 0"
)
"""Condition for one visible object: arguments are the namespace's name, kind, name."""

IN_NAMESPACE: Final = (
    "objects.namespace = (SELECT id FROM objects WHERE namespace = 0 AND kind = 'namespaces' AND name = ?)"
    " AND objects.kind = ? AND objects.reserved = 0"
)
"""Condition for all visible objects of a kind: arguments are the namespace's name, kind."""

_FIND: Final = """
SELECT id FROM objects
WHERE namespace = (SELECT id FROM objects WHERE namespace = 0 AND kind = 'namespaces' AND name = ?)
  AND kind = ? AND name = ? AND reserved = 0
"""

_INSERT: Final = """
INSERT INTO objects (namespace, kind, name, created_ns, updated_ns, reserved)
SELECT id, ?, ?, ?, ?, ? FROM objects WHERE namespace = 0 AND kind = 'namespaces' AND name = ?
ON CONFLICT DO NOTHING RETURNING id
"""
_ADD_EDGE: Final = """
INSERT INTO edges (owner, origin, back, flat, namespace, kind, name, within_ns, beyond_ns)
SELECT id, ?, ?, ?, namespace, ?, ?, ?, ? FROM objects
"""

LABELS: Final = "label"
"""The origin of edges that labels mean."""


def find(connection: sqlite3.Connection, namespace: str, kind: str, name: str) -> int | None:
    """The id of a visible object, None if there is none."""
    row = connection.execute(_FIND, (namespace, kind, name)).fetchone()
    return None if row is None else int(row[0])


def insert(
    tx: Transaction,
    namespace: str,
    kind: str,
    name: str,
    *,
    created_ns: int | None = None,
    updated_ns: int | None = None,
    reserved: bool = False,
) -> int | None:
    """Makes an object, and its namespace if that is new. Returns its id, or None if the name is taken, be it by a
    reserved one. Times default to now."""
    created_ns = tx.now_ns if created_ns is None else created_ns
    updated_ns = created_ns if updated_ns is None else updated_ns
    arguments = (kind, name, created_ns, updated_ns, int(reserved), namespace)
    row = tx.execute(_INSERT, arguments).fetchone()
    if row is None and tx.namespace_id(namespace, create=False) is None:
        tx.namespace_id(namespace)
        row = tx.execute(_INSERT, arguments).fetchone()
    return None if row is None else int(row[0])


def finish(tx: Transaction, id_: int) -> None:
    """Makes a reserved object visible, as made now."""
    tx.execute("UPDATE objects SET reserved = 0, created_ns = ?1, updated_ns = ?1 WHERE id = ?2", (tx.now_ns, id_))


def delete(tx: Transaction, id_: int, kind: str) -> None:
    """Deletes an object with all that hangs below it; the collector takes what it held."""
    tx.execute("DELETE FROM objects WHERE id = ?", (id_,))
    tx.dirtied(kind)


def set_root(tx: Transaction, id_: int, root: int, expires_ns: int | None, used_ns: int | None = None) -> None:
    """Says whether an object lives by itself (see `references`), and until when; and when it was used last."""
    changed = tx.execute(
        "UPDATE objects SET root = ?1, expires_ns = ?2, used_ns = ?4"
        " WHERE id = ?3 AND (root <> ?1 OR expires_ns IS NOT ?2 OR used_ns IS NOT ?4)",
        (root, expires_ns, id_, used_ns),
    )
    # What is past when it is said waits for the next collection, as it always did: it may be about to be leased.
    if expires_ns is not None and expires_ns > tx.now_ns and changed.rowcount:
        tx.expires(expires_ns)


def set_edges(tx: Transaction, owner: int, origin: str, edges: Iterable[Edge]) -> None:
    """Makes *edges* the only ones of *owner* that come from *origin*. They lie in the owner's namespace."""
    wanted = set(edges)
    stored = {
        Edge(kind, name, bool(back), bool(flat), within_ns, beyond_ns)
        for kind, name, back, flat, within_ns, beyond_ns in tx.execute(
            "SELECT kind, name, back, flat, within_ns, beyond_ns FROM edges WHERE owner = ? AND origin = ?",
            (owner, origin),
        )
    }
    for edge in stored - wanted:
        tx.execute(
            "DELETE FROM edges WHERE owner = ? AND origin = ? AND back = ? AND kind = ? AND name = ?",
            (owner, origin, int(edge.back), edge.kind, edge.name),
        )
    for edge in wanted - stored:
        add_edge(tx, owner, origin, edge)


def add_edge(tx: Transaction, owner: int, origin: str, edge: Edge) -> None:
    """Adds one edge of *owner*, if it isn't there."""
    tx.execute(f"{_ADD_EDGE} WHERE id = ? ON CONFLICT DO NOTHING", (*_edge_columns(origin, edge), owner))


def add_edge_of(tx: Transaction, namespace: str, kind: str, name: str, *, origin: str, edge: Edge) -> bool:
    """As `add_edge`, for the owner of that name. False if there is none."""
    sql = f"{_ADD_EDGE} WHERE {BY_NAME} ON CONFLICT DO NOTHING"
    if tx.execute(sql, (*_edge_columns(origin, edge), namespace, kind, name)).rowcount:
        return True
    return find(tx.connection, namespace, kind, name) is not None


def _edge_columns(origin: str, edge: Edge) -> tuple[str | int | None, ...]:
    return origin, int(edge.back), int(edge.flat), edge.kind, edge.name, edge.within_ns, edge.beyond_ns


def is_empty(connection: sqlite3.Connection, namespace: int) -> bool:
    """Whether nothing lies in the namespace of that id."""
    return connection.execute("SELECT 1 FROM objects WHERE namespace = ? LIMIT 1", (namespace,)).fetchone() is None
