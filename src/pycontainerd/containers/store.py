"""Containers' records as rows: columns and labels for what is asked, the message's bytes for what is sent."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeVar

from google.protobuf.message import Message
from msgspec import structs

from pycontainerd.api.containerd.events_pb2 import ContainerCreate, ContainerDelete, ContainerUpdate
from pycontainerd.containers.model import Container
from pycontainerd.containers.patch import patched, to_store
from pycontainerd.errors import AlreadyExists, InvalidArgument, NotFound, Unknown
from pycontainerd.metadata import filters, kinds, labels, objects
from pycontainerd.metadata.database import Database
from pycontainerd.metadata.filters.sql import Columns
from pycontainerd.metadata.listing import listed
from pycontainerd.metadata.references import Edge
from pycontainerd.metadata.transaction import Transaction, find_namespace
from pycontainerd.quoting import quote

T = TypeVar("T")

SNAPSHOT: Final = "snapshot"
"""The origin of the edge from a container to its snapshot."""

_COLUMNS: Final = Columns(
    {("id",): "objects.name", ("runtime", "name"): "containers.runtime", ("image",): "containers.image"}
)
_JOINED: Final = "FROM objects CROSS JOIN containers ON containers.id = objects.id"
_GET: Final = f"SELECT containers.wire {_JOINED} WHERE {objects.BY_NAME}"
_GET_ROW: Final = f"SELECT objects.id, containers.wire {_JOINED} WHERE {objects.BY_NAME}"
_LIST: Final = f"SELECT containers.wire {_JOINED} WHERE {objects.IN_NAMESPACE}"


class Codec(Protocol):
    """How containers become bytes and back."""

    def decode(self, wire: bytes) -> Container: ...

    def encode(self, container: Container) -> bytes: ...


class Publisher(Protocol):
    """What the containers need of the events' exchange."""

    def publish(self, namespace: str, topic: str, event: Message, /) -> None: ...


class ContainerStore:
    """The containers of all namespaces."""

    def __init__(self, database: Database, events: Publisher, codec: Codec) -> None:
        self._database = database
        self._events = events
        self._codec = codec

    def get(self, namespace: str, container_id: str) -> Container:
        """One container. Raises NotFound."""
        return self._codec.decode(self.get_wire(namespace, container_id))

    def get_wire(self, namespace: str, container_id: str) -> bytes:
        """One container as it is sent. Raises NotFound."""
        with self._database.asking() as connection:
            row = connection.execute(_GET, (namespace, kinds.CONTAINERS, container_id)).fetchone()
        if row is None:
            raise NotFound(f"container {quote(container_id)} in namespace {quote(namespace)}")
        wire: bytes = row[0]
        return wire

    async def list(self, namespace: str, filters_: Sequence[str] = ()) -> Sequence[Container]:
        """The containers that pass one of the filters, in byte order of their ids. Raises InvalidArgument."""
        return await self.list_made(namespace, filters_, lambda wires: [self._codec.decode(wire) for wire in wires])

    async def list_made(self, namespace: str, filters_: Sequence[str], make: Callable[[Sequence[bytes]], T]) -> T:
        """What *make* makes of the bytes of the same list, each container as it is sent, where they are read."""
        wanted = filters.compile(filters_, kind_twice=True)
        condition = wanted.where(_COLUMNS)
        sql = f"{_LIST} AND {condition.sql} ORDER BY objects.name"
        arguments = (namespace, kinds.CONTAINERS, *condition.arguments)

        def read(connection: sqlite3.Connection) -> T:
            wires: Sequence[bytes] = [wire for (wire,) in connection.execute(sql, arguments)]
            if not condition.exact:
                wires = [wire for wire in wires if wanted.matches(self._codec.decode(wire))]
            return make(wires)

        return await listed(self._database, namespace, kinds.CONTAINERS, read)

    async def create(self, namespace: str, container: Container) -> Container:
        """Stores a new container. Raises InvalidArgument, AlreadyExists."""

        def make(tx: Transaction) -> Container:
            try:
                container.check()
            except InvalidArgument as error:
                raise error.within("create container failed validation") from None
            id_ = objects.insert(tx, namespace, kinds.CONTAINERS, container.id)
            if id_ is None:
                raise AlreadyExists(f"container {quote(container.id)}")
            made = self._write(tx, id_, structs.replace(container, created_ns=tx.now_ns, updated_ns=tx.now_ns))
            tx.after_commit(lambda: self._events.publish(namespace, "/containers/create", _created(made)))
            return made

        return await self._database.write(make, what=f"create container {quote(container.id)}")

    async def update(self, namespace: str, sent: Container, paths: Sequence[str] = ()) -> Container:
        """Changes what *paths* name, or all that may change (see `patch`). Returns what the reply shows.

        Raises NotFound, InvalidArgument.
        """

        def change(tx: Transaction) -> Container:
            id_, stored = self._stored(tx, namespace, sent.id)
            reply = structs.replace(patched(stored, sent, paths), updated_ns=tx.now_ns)
            tx.execute("UPDATE objects SET updated_ns = ? WHERE id = ?", (tx.now_ns, id_))
            merged = to_store(stored, reply)
            shows_all = merged == reply
            written = self._write(tx, id_, merged)
            reply = structs.replace(reply, labels=written.labels)
            event = ContainerUpdate(
                id=reply.id, image=reply.image, labels=reply.labels, snapshot_key=reply.snapshot_key
            )
            tx.after_commit(lambda: self._events.publish(namespace, "/containers/update", event))
            return written if shows_all else structs.replace(reply, wire=self._codec.encode(reply))

        return await self._database.write(change, what=f"update container {quote(sent.id)}")

    async def delete(self, namespace: str, container_id: str) -> None:
        """Deletes a container's record, whatever runs. Raises NotFound."""

        def remove(tx: Transaction) -> None:
            id_ = objects.find(tx.connection, namespace, kinds.CONTAINERS, container_id)
            if id_ is None:
                raise _missing(tx, "delete", namespace, container_id) or NotFound(f"container {container_id}")
            objects.delete(tx, id_, kinds.CONTAINERS)
            event = ContainerDelete(id=container_id)
            tx.after_commit(lambda: self._events.publish(namespace, "/containers/delete", event))

        await self._database.write(remove, what=f"delete container {quote(container_id)}")

    def _stored(self, tx: Transaction, namespace: str, container_id: str) -> tuple[int, Container]:
        row = tx.execute(_GET_ROW, (namespace, kinds.CONTAINERS, container_id)).fetchone()
        if row is None:
            raise _missing(tx, "update", namespace, container_id) or NotFound(f"container {quote(container_id)}")
        return row[0], self._codec.decode(row[1])

    def _write(self, tx: Transaction, id_: int, container: Container) -> Container:
        """Writes all rows of a container. Returns it as it is stored."""
        try:
            kept = labels.replace(tx, id_, container.labels)
        except Unknown as error:
            raise error.within(f"failed to write container {quote(container.id)}") from None
        stored = structs.replace(container, labels=kept)
        stored = structs.replace(stored, wire=self._codec.encode(stored))
        tx.execute(
            "INSERT INTO containers (id, image, runtime, snapshotter, snapshot_key, sandbox, wire)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO UPDATE SET"
            " image = ?2, runtime = ?3, snapshotter = ?4, snapshot_key = ?5, sandbox = ?6, wire = ?7",
            (
                id_,
                stored.image,
                stored.runtime.name,
                stored.snapshotter,
                stored.snapshot_key,
                stored.sandbox,
                stored.wire,
            ),
        )
        held = stored.snapshotter and stored.snapshot_key
        edges = [Edge(kinds.snapshots(stored.snapshotter), stored.snapshot_key)] if held else []
        objects.set_edges(tx, id_, SNAPSHOT, edges)
        return stored


def _created(container: Container) -> ContainerCreate:
    event = ContainerCreate(id=container.id, image=container.image)
    event.runtime.name = container.runtime.name
    options = container.runtime.options
    if options is not None:
        event.runtime.options.type_url = options.type_url
        event.runtime.options.value = options.value
    return event


def _missing(tx: Transaction, doing: str, namespace: str, container_id: str) -> NotFound | None:
    """What is said of a container in a namespace that doesn't exist."""
    if find_namespace(tx.connection, namespace) is not None:
        return None
    return NotFound(f"cannot {doing} container {quote(container_id)} in namespace {quote(namespace)}")
