"""Leases as rows: an object each, its resources edges."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from pycontainerd.errors import AlreadyExists, NotFound, Unknown
from pycontainerd.ids import Ids
from pycontainerd.leases.model import Lease, Resource
from pycontainerd.metadata import filters, kinds, labels, objects
from pycontainerd.metadata.database import Database
from pycontainerd.metadata.filters.sql import Columns
from pycontainerd.metadata.listing import listed
from pycontainerd.metadata.references import Edge
from pycontainerd.metadata.transaction import Transaction
from pycontainerd.quoting import quote

HELD: Final = "lease"
"""The origin of edges from a lease to its resources."""

OWNED: Final = "owned"
"""The origin of edges from a lease to what was opened with it and ends with it: streams and mounts. They are not listed
as its resources.
"""

_LIST: Final = f"SELECT id, name, created_ns FROM objects WHERE {objects.IN_NAMESPACE}"  # noqa: S608 - a constant of ours
_DETACH: Final = f"""
DELETE FROM edges WHERE owner = (SELECT id FROM objects WHERE {objects.BY_NAME})
    AND origin = ? AND back = 0 AND kind = ? AND name = ?
"""  # noqa: S608 - a constant of ours
_COLUMNS: Final = Columns({("id",): "objects.name"})


class Collector(Protocol):
    """What the leases need of the collector."""

    async def collected(self) -> None:
        """Returns when a collection that begins now has ended."""


class LeaseStore:
    """The leases of all namespaces."""

    def __init__(self, database: Database, ids: Ids) -> None:
        self._database = database
        self._ids = ids
        self._collector: Collector | None = None

    def collect_with(self, collector: Collector) -> None:
        """Names the collector that synchronous deletes wait for; without one they don't wait."""
        self._collector = collector

    async def create(self, namespace: str, lease_id: str, said: Mapping[str, str]) -> Lease:
        """Makes a lease; an empty id is replaced by a random one. Raises AlreadyExists."""
        lease_id = lease_id or self._ids.unique()

        def make(tx: Transaction) -> Lease:
            id_ = objects.insert(tx, namespace, kinds.LEASES, lease_id)
            if id_ is None:
                raise AlreadyExists(f"lease {quote(lease_id)}")
            return Lease(lease_id, tx.now_ns, labels.replace(tx, id_, said))

        return await self._database.write(make, what=f"create lease {quote(lease_id)}")

    async def delete(self, namespace: str, lease_id: str, *, sync: bool = False) -> None:
        """Deletes a lease; with *sync* returns after the collector has taken what it held. Raises NotFound."""

        def remove(tx: Transaction) -> None:
            objects.delete(tx, _found(tx.connection, namespace, lease_id), kinds.LEASES)

        await self._database.write(remove, what=f"delete lease {quote(lease_id)}")
        if sync and self._collector is not None:
            await self._collector.collected()

    async def list(self, namespace: str, filters_: Sequence[str] = ()) -> Sequence[Lease]:
        """The leases that pass one of the filters, in byte order of their ids. Raises InvalidArgument."""
        wanted = filters.compile(filters_, kind_twice=True)
        condition = wanted.where(_COLUMNS)
        sql = f"{_LIST} AND {condition.sql} ORDER BY objects.name"
        arguments = (namespace, kinds.LEASES, *condition.arguments)

        def read(connection: sqlite3.Connection) -> list[Lease]:
            said = labels.read_all(connection, namespace, kinds.LEASES)
            found = [
                Lease(name, created_ns, said.get(id_, {}))
                for id_, name, created_ns in connection.execute(sql, arguments)
            ]
            return found if condition.exact else [lease for lease in found if wanted.matches(lease)]

        return await listed(self._database, namespace, kinds.LEASES, read)

    async def add(self, namespace: str, lease_id: str, kind: str, name: str) -> None:
        """Lets a lease hold a resource, which need not exist. Raises NotFound, and what `Resource.parse` raises."""

        def hold(tx: Transaction) -> None:
            owner = _found(tx.connection, namespace, lease_id)
            resource = Resource.parse(kind, name)
            if resource.snapshotter == "":
                raise Unknown("bucket name required")
            if not name:
                raise Unknown("key required")
            objects.add_edge(tx, owner, HELD, _edge(kind, name))

        await self._database.write(hold, what=f"add to lease {quote(lease_id)}")

    async def remove(self, namespace: str, lease_id: str, kind: str, name: str) -> None:
        """Lets a lease go of a resource; one that it doesn't hold is fine. Raises as `add`."""

        def release(tx: Transaction) -> None:
            owner = _found(tx.connection, namespace, lease_id)
            Resource.parse(kind, name)
            _release(tx, owner, kind, name)
            tx.dirtied(kind)

        await self._database.write(release, what=f"remove from lease {quote(lease_id)}")

    async def resources(self, namespace: str, lease_id: str) -> Sequence[Resource]:
        """What a lease holds: content, images, ingests, snapshots, each in byte order. Raises NotFound."""
        return await self._database.read(lambda connection: _resources(connection, namespace, lease_id))

    def attach(self, tx: Transaction, namespace: str, lease_id: str, kind: str, name: str) -> None:
        """Lets a lease hold what an operation makes, inside its transaction. Raises NotFound."""
        if not objects.add_edge_of(tx, namespace, kinds.LEASES, lease_id, origin=HELD, edge=_edge(kind, name)):
            raise NotFound("lease does not exist")

    def detach(self, tx: Transaction, namespace: str, lease_id: str, kind: str, name: str) -> None:
        """Lets a lease go of what an operation takes away; one that is missing is fine."""
        tx.execute(_DETACH, (namespace, kinds.LEASES, lease_id, HELD, kind, name))

    def own(self, tx: Transaction, namespace: str, lease_id: str, kind: str, name: str) -> None:
        """Lets a lease hold what was opened with it, inside the opening's transaction; one that is missing does not."""
        owner = objects.find(tx.connection, namespace, kinds.LEASES, lease_id)
        if owner is not None:
            objects.add_edge(tx, owner, OWNED, _edge(kind, name))

    def disown(self, tx: Transaction, namespace: str, kind: str, name: str) -> None:
        """Lets all leases go of what was opened and is closed."""
        tx.execute(
            "DELETE FROM edges WHERE namespace = ? AND kind = ? AND name = ? AND back = 0 AND origin = ?",
            (tx.namespace_id(namespace, create=False), kind, name, OWNED),
        )


def _found(connection: sqlite3.Connection, namespace: str, lease_id: str) -> int:
    found = objects.find(connection, namespace, kinds.LEASES, lease_id)
    if found is None:
        raise NotFound(f"lease {quote(lease_id)}")
    return found


def _edge(kind: str, name: str) -> Edge:
    # Flat, as a lease always holds what it names; whether that is all, its root says.
    return Edge(kind, name, flat=True)


def _release(tx: Transaction, owner: int, kind: str, name: str) -> None:
    tx.execute(
        "DELETE FROM edges WHERE owner = ? AND origin = ? AND back = 0 AND kind = ? AND name = ?",
        (owner, HELD, kind, name),
    )


def _resources(connection: sqlite3.Connection, namespace: str, lease_id: str) -> list[Resource]:
    owner = _found(connection, namespace, lease_id)
    rows = connection.execute(
        "SELECT kind, name FROM edges WHERE owner = ? AND origin = ? ORDER BY kind, name", (owner, HELD)
    )
    return [Resource(kind, name) for kind, name in rows]
