"""Blobs and ingests as rows: each namespace has its own, over one file on disk."""

from __future__ import annotations

import sqlite3
from typing import Final

from msgspec import Struct

from pycontainerd.content.model import BlobInfo, Digest
from pycontainerd.errors import Internal
from pycontainerd.metadata import kinds, labels, objects
from pycontainerd.metadata.references import ROOT_WHOLE, Edge
from pycontainerd.metadata.transaction import Transaction

PAGE: Final = 100
"""Blobs that one question brings: what one message of a listing holds."""

EXPECTED: Final = "expected"
"""The origin of the edge by which an ingest holds the blob that it shares."""

_BLOB: Final = """
SELECT objects.id, blobs.size, objects.created_ns, objects.updated_ns
FROM objects JOIN blobs ON blobs.id = objects.id
WHERE objects.namespace = (SELECT id FROM objects WHERE namespace = 0 AND kind = 'namespaces' AND name = ?)
  AND objects.kind = 'content' AND objects.name = ? AND objects.reserved = 0
"""
_SIZE: Final = """
SELECT blobs.size
FROM objects JOIN blobs ON blobs.id = objects.id
WHERE objects.namespace = (SELECT id FROM objects WHERE namespace = 0 AND kind = 'namespaces' AND name = ?)
  AND objects.kind = 'content' AND objects.name = ? AND objects.reserved = 0
"""
_PAGE: Final = """
SELECT objects.id, objects.name, blobs.size, objects.created_ns, objects.updated_ns
FROM objects JOIN blobs ON blobs.id = objects.id
WHERE objects.namespace = (SELECT id FROM objects WHERE namespace = 0 AND kind = 'namespaces' AND name = ?)
  AND objects.kind = 'content' AND objects.name > ? AND objects.reserved = 0
ORDER BY objects.name LIMIT ?
"""
_PAGE_LABELS: Final = """
SELECT labels.owner, labels.key, labels.value
FROM objects CROSS JOIN labels ON labels.owner = objects.id
WHERE objects.namespace = (SELECT id FROM objects WHERE namespace = 0 AND kind = 'namespaces' AND name = ?)
  AND objects.kind = 'content' AND objects.name > ? AND objects.name <= ? AND objects.reserved = 0
"""
_KNOWN: Final = "SELECT size FROM blobs WHERE digest = ? LIMIT 1"
_SHAREABLE: Final = """
SELECT blobs.size
FROM blobs
JOIN objects ON objects.id = blobs.id
JOIN labels ON labels.owner = objects.namespace AND labels.key = 'containerd.io/namespace.shareable'
WHERE blobs.digest = ? AND labels.value = 'true' LIMIT 1
"""
_NAMED: Final = """
SELECT EXISTS (SELECT 1 FROM blobs WHERE digest = ?1) OR EXISTS (SELECT 1 FROM ingests WHERE expected = ?1)
"""
_INGEST: Final = """
SELECT objects.id, objects.name, ingests.backend, ingests.expected
FROM objects JOIN ingests ON ingests.id = objects.id
WHERE objects.namespace = (SELECT id FROM objects WHERE namespace = 0 AND kind = 'namespaces' AND name = ?)
  AND objects.kind = 'ingests' AND objects.name = ?
"""
_INGESTS: Final = """
SELECT objects.id, objects.name, ingests.backend, ingests.expected
FROM objects JOIN ingests ON ingests.id = objects.id
WHERE objects.namespace = (SELECT id FROM objects WHERE namespace = 0 AND kind = 'namespaces' AND name = ?)
  AND objects.kind = 'ingests'
ORDER BY objects.name
"""


class IngestRow(Struct, frozen=True):
    """An ingest of one namespace. *expected* is the digest of the blob that it shares, else empty."""

    id: int
    ref: str
    backend: str
    expected: str


def exists(connection: sqlite3.Connection, namespace: str, digest: str) -> bool:
    """Whether *namespace* has a blob called *digest*, which may be any text."""
    return objects.find(connection, namespace, kinds.CONTENT, digest) is not None


def find_blob(connection: sqlite3.Connection, namespace: str, digest: Digest) -> tuple[int, BlobInfo] | None:
    """The blob's row id and what is known of it."""
    row = connection.execute(_BLOB, (namespace, str(digest))).fetchone()
    if row is None:
        return None
    id_, size, created_ns, updated_ns = row
    return id_, BlobInfo(digest, size, created_ns, updated_ns, labels.read(connection, id_))


def size_of(connection: sqlite3.Connection, namespace: str, digest: Digest) -> int | None:
    """The bytes of the blob *digest* of *namespace*; None if it has none."""
    row = connection.execute(_SIZE, (namespace, str(digest))).fetchone()
    return None if row is None else int(row[0])


def blobs_after(connection: sqlite3.Connection, namespace: str, name: str) -> list[BlobInfo]:
    """The next PAGE blobs behind the digest *name*, in the order of digests."""
    rows = connection.execute(_PAGE, (namespace, name, PAGE)).fetchall()
    if not rows:
        return []
    found: dict[int, dict[str, str]] = {}
    for owner, key, value in connection.execute(_PAGE_LABELS, (namespace, name, rows[-1][1])):
        found.setdefault(owner, {})[key] = value
    return [
        BlobInfo(Digest(*digest.split(":", 1)), size, created_ns, updated_ns, found.get(id_, {}))
        for id_, digest, size, created_ns, updated_ns in rows
    ]


def insert_blob(tx: Transaction, namespace: str, digest: Digest, size: int) -> int | None:
    """Makes the row of a blob; None if *namespace* has it already."""
    id_ = objects.insert(tx, namespace, kinds.CONTENT, str(digest))
    if id_ is not None:
        tx.execute("INSERT INTO blobs (id, digest, size) VALUES (?, ?, ?)", (id_, str(digest), size))
    return id_


def shared_size(connection: sqlite3.Connection, digest: str, *, isolated: bool) -> int | None:
    """The size of *digest* if a writer may have it without sending it: knowing the digest is enough unless the
    namespaces are *isolated*; then one that has it must say that it shares.
    """
    row = connection.execute(_SHAREABLE if isolated else _KNOWN, (digest,)).fetchone()
    return None if row is None else int(row[0])


def named_by_any(connection: sqlite3.Connection, digest: str) -> bool:
    """Whether any row, of whatever namespace, needs the blob's file."""
    return bool(connection.execute(_NAMED, (digest,)).fetchone()[0])


def all_named(connection: sqlite3.Connection) -> set[str]:
    """The digests of all files that rows need."""
    return {
        digest
        for (digest,) in connection.execute(
            "SELECT digest FROM blobs UNION SELECT expected FROM ingests WHERE expected <> ''"
        )
    }


def all_ingests(connection: sqlite3.Connection) -> list[str]:
    """The backend's names of all ingests."""
    return [backend for (backend,) in connection.execute("SELECT backend FROM ingests")]


def find_ingest(connection: sqlite3.Connection, namespace: str, ref: str) -> IngestRow | None:
    row = connection.execute(_INGEST, (namespace, ref)).fetchone()
    return None if row is None else IngestRow(*row)


def ingests_of(connection: sqlite3.Connection, namespace: str) -> list[IngestRow]:
    """All ingests of *namespace*, in the order of their refs."""
    return [IngestRow(*row) for row in connection.execute(_INGESTS, (namespace,))]


def ensure_ingest(tx: Transaction, namespace: str, ref: str, *, shares: str, expires_ns: int | None) -> IngestRow:
    """The row of the ingest *ref*, made if it is new. *shares* is the digest that it shares, or empty.

    With *expires_ns* it lives by itself until then; without, by a lease or by what an earlier writer said.
    """
    row = find_ingest(tx.connection, namespace, ref)
    if row is None:
        backend = f"{namespace}/{tx.next_in_sequence(kinds.INGESTS, namespace)}/{ref}"
        id_ = objects.insert(tx, namespace, kinds.INGESTS, ref)
        if id_ is None:
            raise Internal(f"reference {ref} is reserved by nobody")
        tx.execute("INSERT INTO ingests (id, backend) VALUES (?, ?)", (id_, backend))
        row = IngestRow(id_, ref, backend, "")
    if row.expected != shares:
        tx.execute("UPDATE ingests SET expected = ? WHERE id = ?", (shares, row.id))
        edges = [Edge(kinds.CONTENT, shares, flat=True)] if shares else []
        objects.set_edges(tx, row.id, EXPECTED, edges)
        row = IngestRow(row.id, ref, row.backend, shares)
    if expires_ns is not None:
        objects.set_root(tx, row.id, ROOT_WHOLE, expires_ns)
    return row
