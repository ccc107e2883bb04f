"""Sandboxes' records as rows: columns and labels for what is asked, the message's bytes for what is sent."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, Protocol

from msgspec import structs

from pycontainerd.errors import AlreadyExists, Error, InvalidArgument, NotFound, Unknown
from pycontainerd.metadata import filters, kinds, labels, objects
from pycontainerd.metadata.database import Database
from pycontainerd.metadata.filters.sql import Columns
from pycontainerd.metadata.listing import listed
from pycontainerd.metadata.transaction import Transaction
from pycontainerd.quoting import quote
from pycontainerd.sandboxes.model import Sandbox
from pycontainerd.sandboxes.patch import patched, to_store

_COLUMNS: Final = Columns({("id",): "objects.name"})
_JOINED: Final = "FROM objects CROSS JOIN sandboxes ON sandboxes.id = objects.id"
_GET: Final = f"SELECT objects.id, sandboxes.wire {_JOINED} WHERE {objects.BY_NAME}"
_LIST: Final = f"SELECT sandboxes.wire {_JOINED} WHERE {objects.IN_NAMESPACE}"
_ANY: Final = f"SELECT 1 FROM objects WHERE {objects.IN_NAMESPACE} LIMIT 1"  # noqa: S608 - a constant of ours


class Codec(Protocol):
    """How sandboxes become bytes and back."""

    def decode(self, wire: bytes) -> Sandbox: ...

    def encode(self, sandbox: Sandbox) -> bytes: ...


class SandboxStore:
    """The sandboxes of all namespaces. No events are told of them here: controllers do that."""

    def __init__(self, database: Database, codec: Codec) -> None:
        self._database = database
        self._codec = codec

    def get(self, namespace: str, sandbox_id: str) -> Sandbox:
        """One sandbox. Raises NotFound."""
        return self._codec.decode(self.get_wire(namespace, sandbox_id))

    def get_wire(self, namespace: str, sandbox_id: str) -> bytes:
        """One sandbox as it is sent. Raises NotFound."""
        with self._database.reading() as connection:
            return _row(connection, namespace, sandbox_id)[1]

    async def list(self, namespace: str, filters_: Sequence[str] = ()) -> Sequence[Sandbox]:
        """The sandboxes that pass one of the filters, in byte order of their ids. Raises InvalidArgument."""
        return [self._codec.decode(wire) for wire in await self.list_wire(namespace, filters_)]

    async def list_wire(self, namespace: str, filters_: Sequence[str] = ()) -> Sequence[bytes]:
        """Like `list`, each sandbox as it is sent."""
        wanted = filters.compile(filters_, kind_twice=True)
        condition = wanted.where(_COLUMNS)
        sql = f"{_LIST} AND {condition.sql} ORDER BY objects.name"
        arguments = (namespace, kinds.SANDBOXES, *condition.arguments)

        def read(connection: sqlite3.Connection) -> Sequence[bytes]:
            wires: Sequence[bytes] = [wire for (wire,) in connection.execute(sql, arguments)]
            if condition.exact:
                return wires
            return [wire for wire in wires if wanted.matches(self._codec.decode(wire))]

        return await listed(self._database, namespace, kinds.SANDBOXES, read)

    async def create(self, namespace: str, sandbox: Sandbox) -> Sandbox:
        """Stores a new sandbox, and returns what the reply shows. Raises InvalidArgument, AlreadyExists."""
        try:
            sandbox.check()
        except InvalidArgument as error:
            raise error.within("failed to validate sandbox") from None

        def make(tx: Transaction) -> Sandbox:
            id_ = objects.insert(tx, namespace, kinds.SANDBOXES, sandbox.id)
            if id_ is None:
                text = f"write error: sandbox bucket {quote(sandbox.id)} already exists: already exists"
                raise AlreadyExists(text, bare=True)
            made = structs.replace(sandbox, created_ns=tx.now_ns, updated_ns=tx.now_ns)
            try:
                return self._write(tx, id_, made)
            except Error as error:
                raise error.within("write error") from None

        return await self._database.write(make, what=f"create sandbox {quote(sandbox.id)}")

    async def update(self, namespace: str, sent: Sandbox, paths: Sequence[str] = ()) -> Sandbox:
        """Changes what *paths* name, or all that may change (see `patch`). Returns what the reply shows.

        Raises NotFound, InvalidArgument.
        """

        def change(tx: Transaction) -> Sandbox:
            id_, wire = _row(tx.connection, namespace, sent.id)
            stored = self._codec.decode(wire)
            reply = structs.replace(patched(stored, sent, paths), updated_ns=tx.now_ns)
            reply.check()
            tx.execute("UPDATE objects SET updated_ns = ? WHERE id = ?", (tx.now_ns, id_))
            written = self._write(tx, id_, to_store(stored, reply))
            reply = structs.replace(reply, labels=written.labels)
            return structs.replace(reply, wire=self._codec.encode(reply))

        return await self._database.write(change, what=f"update sandbox {quote(sent.id)}")

    async def delete(self, namespace: str, sandbox_id: str) -> None:
        """Deletes a sandbox's record, whatever runs. Raises NotFound."""

        def remove(tx: Transaction) -> None:
            _require_any(tx.connection, namespace)
            id_ = objects.find(tx.connection, namespace, kinds.SANDBOXES, sandbox_id)
            if id_ is None:
                raise NotFound(f"failed to delete sandbox {quote(sandbox_id)}")
            objects.delete(tx, id_, kinds.SANDBOXES)

        await self._database.write(remove, what=f"delete sandbox {quote(sandbox_id)}")

    def _write(self, tx: Transaction, id_: int, sandbox: Sandbox) -> Sandbox:
        """Writes all rows of a sandbox. Returns it as it is stored."""
        if "" in sandbox.extensions:
            raise Unknown("key required")
        stored = structs.replace(sandbox, labels=labels.replace(tx, id_, sandbox.labels))
        stored = structs.replace(stored, wire=self._codec.encode(stored))
        tx.execute(
            "INSERT INTO sandboxes (id, wire) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET wire = ?2",
            (id_, stored.wire),
        )
        return stored


def _row(connection: sqlite3.Connection, namespace: str, sandbox_id: str) -> tuple[int, bytes]:
    row: tuple[int, bytes] | None = connection.execute(_GET, (namespace, kinds.SANDBOXES, sandbox_id)).fetchone()
    if row is None:
        _require_any(connection, namespace)
        raise NotFound(f"bucket {quote(sandbox_id)} not found: not found", bare=True)
    return row


def _require_any(connection: sqlite3.Connection, namespace: str) -> None:
    if connection.execute(_ANY, (namespace, kinds.SANDBOXES)).fetchone() is None:
        raise NotFound("no sandbox buckets")
