"""Blobs and ingests as rows: each namespace has its own, over one file on disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from pycontainerd.content import codec
from pycontainerd.content.model import BlobInfo, Digest
from pycontainerd.errors import Internal
from pycontainerd.metadata import kinds, labels, objects
from pycontainerd.metadata.filters.sql import Columns, Where
from pycontainerd.metadata.references import ROOT_WHOLE, Edge
from pycontainerd.metadata.transaction import Transaction

EXPECTED: Final = "expected"
"""The origin of the edge by which an ingest holds the blob that it shares."""

_BLOB: Final = """
SELECT objects.id, blobs.size, objects.created_ns, objects.updated_ns
FROM objects JOIN blobs ON blobs.id = objects.id
WHERE objects.namespace = (SELECT id FROM objects WHERE namespace = 0 AND kind = 'namespaces' AND name = ?)
  AND objects.kind = 'content' AND objects.name = ? AND objects.reserved = 0
"""
_WIRE: Final = """
SELECT blobs.wire
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
SELECT objects.name, blobs.wire
FROM objects CROSS JOIN blobs ON blobs.id = objects.id
WHERE objects.namespace = (SELECT id FROM objects WHERE namespace = 0 AND kind = 'namespaces' AND name = ?)
  AND objects.kind = 'content' AND objects.name > ?
"""
"""No blob is ever reserved, and what is not asked for here stands in the index: of `objects` itself no page is read."""
COLUMNS: Final = Columns({("digest",): "objects.name"}, always=frozenset({"objects.name"}), whole=True)
"""Where filters find what they ask of a blob."""

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


def blobs_after(
    connection: sqlite3.Connection, namespace: str, name: str, count: int, condition: Where
) -> list[tuple[str, bytes]]:
    """The next *count* blobs behind the digest *name* that meet *condition*, in the order of digests: each one's digest
    and what is sent of it.
    """
    sql = f"{_PAGE} AND {condition.sql} ORDER BY objects.name LIMIT ?"
    rows = connection.execute(sql, (namespace, name, *condition.arguments, count)).fetchall()
    return [(digest, wire or _wire(connection, namespace, digest)) for digest, wire in rows]


def find_wire(connection: sqlite3.Connection, namespace: str, digest: str) -> bytes | None:
    """What is sent of a blob; None if *namespace* has none of that digest."""
    row = connection.execute(_WIRE, (namespace, digest)).fetchone()
    return None if row is None else row[0] or _wire(connection, namespace, digest)


def _wire(connection: sqlite3.Connection, namespace: str, digest: str) -> bytes:
    """What is sent of a blob whose row an earlier version wrote."""
    found = find_blob(connection, namespace, Digest(*digest.split(":", 1)))
    if found is None:
        raise Internal(f"content {digest} went while it was read")
    return codec.encode(found[1])


def decode(wire: bytes) -> BlobInfo:
    """What is known of the blob of which *wire* is sent."""
    return codec.decode(wire)


def insert_blob(tx: Transaction, namespace: str, digest: Digest, size: int, said: Mapping[str, str]) -> bool:
    """Makes the rows of a blob with the labels *said*; False if *namespace* has it already."""
    name = str(digest)
    id_ = objects.insert(tx, namespace, kinds.CONTENT, name)
    if id_ is None:
        return False
    kept = labels.add(tx, id_, kinds.CONTENT, said)
    wire = codec.encode(BlobInfo(digest, size, tx.now_ns, tx.now_ns, kept))
    tx.execute("INSERT INTO blobs (id, digest, size, wire) VALUES (?, ?, ?, ?)", (id_, name, size, wire))
    return True


def relabel_blob(tx: Transaction, id_: int, info: BlobInfo, said: Mapping[str, str]) -> BlobInfo:
    """Makes *said* the labels of the blob *info* of that row. Returns what is known of it now."""
    changed = replace(info, updated_ns=tx.now_ns, labels=labels.replace(tx, id_, said))
    tx.execute("UPDATE objects SET updated_ns = ? WHERE id = ?", (tx.now_ns, id_))
    tx.execute("UPDATE blobs SET wire = ? WHERE id = ?", (codec.encode(changed), id_))
    return changed


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
