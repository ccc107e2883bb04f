"""Labels of objects: their limits, their rows, and what they mean to the collector."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

from pycontainerd.errors import InvalidArgument, Unknown
from pycontainerd.metadata import objects
from pycontainerd.metadata.references import Meaning, meaning, relevant
from pycontainerd.metadata.transaction import Transaction
from pycontainerd.quoting import quote

LIMIT: Final = 4096
"""Bytes of a key and its value together."""

_SHOWN: Final = 64
"""Bytes of a key that a message shows."""

_READ_ALL: Final = """
SELECT labels.owner, labels.key, labels.value FROM objects CROSS JOIN labels ON labels.owner = objects.id
WHERE objects.namespace = (SELECT id FROM objects WHERE namespace = 0 AND kind = 'namespaces' AND name = ?)
  AND objects.kind = ? AND objects.reserved = 0
"""


def validate(labels: Mapping[str, str], context: str = "") -> None:
    """Raises InvalidArgument for a label that is too long; *context* stands before, as in `image.Labels`."""
    for key, value in labels.items():
        if len(key) + len(value) <= LIMIT // 4:
            continue  # no character has more than four bytes
        raw = key.encode()
        size = len(raw) + len(value.encode())
        if size > LIMIT:
            shown = raw[:_SHOWN].decode(errors="replace")
            text = f"label key and value length ({size} bytes) greater than maximum size ({LIMIT} bytes), key: {shown}"
            raise InvalidArgument(f"{context}: {text}" if context else text)


def stored(labels: Mapping[str, str]) -> dict[str, str]:
    """What is kept of *labels*: an empty value means no label. Raises Unknown for one without a key."""
    kept = {key: value for key, value in labels.items() if value}
    if "" in kept:
        raise Unknown(f'failed to set label ""={quote(kept[""])}: key required')
    return kept


def read(connection: sqlite3.Connection, owner: int) -> dict[str, str]:
    """The labels of one object, in byte order of their keys."""
    return dict(connection.execute("SELECT key, value FROM labels WHERE owner = ? ORDER BY key", (owner,)).fetchall())


def read_all(connection: sqlite3.Connection, namespace: str, kind: str) -> dict[int, dict[str, str]]:
    """The labels of all objects of a kind by id; objects without any are left out."""
    found: dict[int, dict[str, str]] = {}
    for owner, key, value in connection.execute(_READ_ALL, (namespace, kind)):
        found.setdefault(owner, {})[key] = value
    return found


def add(tx: Transaction, owner: int, kind: str, labels: Mapping[str, str]) -> dict[str, str]:
    """As `replace`, for an object of *kind* that was made in this transaction and has no labels."""
    kept = stored(labels)
    tx.connection.executemany(
        "INSERT INTO labels (owner, key, value) VALUES (?, ?, ?)", [(owner, key, value) for key, value in kept.items()]
    )
    said = meaning(kind, kept)
    for edge in said.edges:
        objects.add_edge(tx, owner, objects.LABELS, edge)
    if said.root or said.expires_ns is not None or said.used_ns is not None:
        objects.set_root(tx, owner, said.root, said.expires_ns, said.used_ns)
    return kept


def replace(tx: Transaction, owner: int, labels: Mapping[str, str]) -> dict[str, str]:
    """Makes *labels* the labels of an object, with the edges, the root and the expiry that they mean.

    Returns what is stored. Lengths are the caller's to check: some kinds have no limit.
    """
    kept = stored(labels)
    before = read(tx.connection, owner)
    tx.connection.executemany(
        "DELETE FROM labels WHERE owner = ? AND key = ?", [(owner, key) for key in before.keys() - kept.keys()]
    )
    tx.connection.executemany(
        "INSERT INTO labels (owner, key, value) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
        [(owner, key, value) for key, value in kept.items() if before.get(key) != value],
    )
    if not before or relevant(before) != relevant(kept):  # one without labels may be new
        kind = tx.execute("SELECT kind FROM objects WHERE id = ?", (owner,)).fetchone()[0]
        _mean(tx, owner, meaning(kind, kept))
    return kept


def _mean(tx: Transaction, owner: int, said: Meaning) -> None:
    objects.set_edges(tx, owner, objects.LABELS, said.edges)
    objects.set_root(tx, owner, said.root, said.expires_ns, said.used_ns)
