"""Namespaces as rows. What lies in one refers to it by the id of its object."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Protocol

from google.protobuf.message import Message

from pycontainerd.api.containerd.events_pb2 import NamespaceCreate, NamespaceDelete, NamespaceUpdate
from pycontainerd.errors import AlreadyExists, Error, FailedPrecondition, InvalidArgument, NotFound, Unknown
from pycontainerd.metadata import fieldmask, kinds, labels
from pycontainerd.metadata.database import Database
from pycontainerd.metadata.transaction import Transaction, find_namespace
from pycontainerd.namespaces.model import Namespace
from pycontainerd.quoting import quote
from pycontainerd.rpc.call import check_identifier


class Publisher(Protocol):
    """What the namespaces need of the events' exchange."""

    def publish(self, namespace: str, topic: str, event: Message, /) -> None: ...


class NamespaceStore:
    """All namespaces of the daemon."""

    def __init__(self, database: Database, events: Publisher) -> None:
        self._database = database
        self._events = events

    async def create(self, name: str, said: Mapping[str, str]) -> None:
        """Makes a namespace. Raises InvalidArgument, AlreadyExists."""
        check_identifier(name)
        labels.validate(said, "namespace.Labels")

        def make(tx: Transaction) -> None:
            if find_namespace(tx.connection, name) is not None:
                raise AlreadyExists(f"namespace {quote(name)}")
            if "" in said:
                raise Unknown("key required")
            _set_labels(tx, tx.namespace_id(name), said)
            event = NamespaceCreate(name=name, labels=said)
            tx.after_commit(lambda: self._publish(name, "/namespaces/create", event))

        await self._database.write(make, what=f"create namespace {quote(name)}")

    def get(self, name: str) -> Namespace:
        """A namespace by name; one that doesn't exist looks like one without labels."""
        with self._database.reading() as connection:
            found = find_namespace(connection, name)
            return Namespace(name, {} if found is None else labels.read(connection, found))

    async def list(self) -> list[Namespace]:
        """All namespaces, in byte order."""
        return await self._database.read(_all)

    async def update(self, name: str, said: Mapping[str, str], paths: Sequence[str] = ()) -> None:
        """Changes the labels that *paths* name, or all; a namespace that is missing comes into being.

        Raises InvalidArgument for a path that names no single label, Unknown for labels that can't be.
        """

        def change(tx: Transaction) -> None:
            for path in paths:
                if fieldmask.key_of(path, "labels") is None:
                    raise InvalidArgument(f"cannot update {quote(path)} field", bare=True)
            id_ = (
                tx.namespace_id(_nonempty(name), create=True) if paths or said else find_namespace(tx.connection, name)
            )
            if id_ is not None:
                wanted = fieldmask.patched(labels.read(tx.connection, id_), said, paths)
                _set_labels(tx, id_, wanted)
            event = NamespaceUpdate(name=name, labels=said)
            tx.after_commit(lambda: self._publish(name, "/namespaces/update", event))

        await self._database.write(change, what=f"update namespace {quote(name)}")

    async def delete(self, name: str) -> None:
        """Deletes a namespace, its leases and ingests with it.

        Raises NotFound, FailedPrecondition while it has images, blobs, containers or snapshots.
        """

        def remove(tx: Transaction) -> None:
            id_ = find_namespace(tx.connection, name)
            if id_ is None:
                raise NotFound(f"namespace {quote(name)}")
            left = _what_is_left(tx.connection, id_)
            if left:
                raise FailedPrecondition(f"namespace {quote(name)} must be empty, but it still has {', '.join(left)}")
            tx.execute("DELETE FROM objects WHERE namespace = ? OR id = ?", (id_, id_))
            tx.dirtied(kinds.LEASES)
            tx.dirtied(kinds.INGESTS)
            tx.after_commit(lambda: self._publish(name, "/namespaces/delete", NamespaceDelete(name=name)))

        await self._database.write(remove, what=f"delete namespace {quote(name)}")

    def _publish(self, name: str, topic: str, event: Message) -> None:
        try:
            if not name:
                raise FailedPrecondition("failed publishing event: namespace is required")
            self._events.publish(name, topic, event)
        except Error as error:
            raise Unknown(error.wire_text()) from None


def _nonempty(name: str) -> str:
    if not name:
        raise Unknown("bucket name required")
    return name


def _set_labels(tx: Transaction, id_: int, wanted: Mapping[str, str]) -> None:
    if wanted.get(""):
        raise Unknown("key required")
    try:
        labels.validate(wanted, "namespace.Labels")
    except InvalidArgument as error:
        # The original loses the kind of this one on its way out, but not its text.
        raise Unknown(error.wire_text()) from None
    labels.replace(tx, id_, wanted)


def _all(connection: sqlite3.Connection) -> list[Namespace]:
    rows = connection.execute("SELECT id, name FROM objects WHERE namespace = 0 ORDER BY name").fetchall()
    return [Namespace(name, labels.read(connection, id_)) for id_, name in rows]


def _what_is_left(connection: sqlite3.Connection, namespace: int) -> list[str]:
    found = {
        kind for (kind,) in connection.execute("SELECT DISTINCT kind FROM objects WHERE namespace = ?", (namespace,))
    }
    names = ((kinds.IMAGES, "images"), (kinds.CONTENT, "blobs"), (kinds.CONTAINERS, "containers"))
    left = [name for kind, name in names if kind in found]
    for kind in sorted(found):
        if kind.startswith(kinds.SNAPSHOTS_PREFIX):
            left.append(f"snapshots on {quote(kind.removeprefix(kinds.SNAPSHOTS_PREFIX))} snapshotter")
    return left
