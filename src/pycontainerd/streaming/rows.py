"""The streams that were opened with a lease, as rows for the collector: they end with the lease.

A stream without a lease needs no row: nothing but its client ends it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Protocol

from pycontainerd.metadata import kinds, objects
from pycontainerd.metadata.database import Database
from pycontainerd.metadata.transaction import Transaction
from pycontainerd.streaming.manager import Key


class Leases(Protocol):
    """What the streams need of the leases."""

    def own(self, tx: Transaction, namespace: str, lease: str, kind: str, name: str, /) -> None:
        """Fine if there is no such lease."""

    def disown(self, tx: Transaction, namespace: str, kind: str, name: str, /) -> None: ...


class StreamRows:
    """The rows of leased streams. They end with the daemon: the database is opened without any."""

    def __init__(self, database: Database, leases: Leases) -> None:
        self._database = database
        self._leases = leases

    async def add(self, key: Key, lease: str) -> None:
        """Lets *lease* hold a stream. In a namespace that nothing lies in there is no lease, and no row is made."""
        namespace, name = key

        def make(tx: Transaction) -> None:
            if tx.namespace_id(namespace, create=False) is not None:
                objects.insert(tx, namespace, kinds.STREAMS, name)
                self._leases.own(tx, namespace, lease, kinds.STREAMS, name)

        await self._database.write(make, what=f"open stream {name}", quiet=True)

    async def remove(self, key: Key) -> None:
        """Forgets a stream that has ended."""
        namespace, name = key

        def delete(tx: Transaction) -> None:
            id_ = objects.find(tx.connection, namespace, kinds.STREAMS, name)
            if id_ is not None:
                tx.execute("DELETE FROM objects WHERE id = ?", (id_,))
                self._leases.disown(tx, namespace, kinds.STREAMS, name)

        await self._database.write(delete, what=f"close stream {name}", quiet=True)

    async def missing(self, keys: Iterable[Key]) -> list[Key]:
        """Those of *keys* that have no row."""

        def read(connection: sqlite3.Connection) -> list[Key]:
            return [key for key in keys if objects.find(connection, key[0], kinds.STREAMS, key[1]) is None]

        return await self._database.read(read)
