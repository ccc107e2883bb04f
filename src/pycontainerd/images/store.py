"""Images as rows: columns and labels for what is asked, the message's bytes for what is sent."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from google.protobuf.message import Message
from msgspec import structs

from pycontainerd.api.containerd.services.images.v1_pb2 import ImageCreate, ImageDelete, ImageUpdate
from pycontainerd.errors import AlreadyExists, InvalidArgument, NotFound, Unknown
from pycontainerd.images.model import Image, Target
from pycontainerd.metadata import fieldmask, filters, kinds, labels, objects
from pycontainerd.metadata.database import Database
from pycontainerd.metadata.filters.sql import Columns
from pycontainerd.metadata.listing import listed
from pycontainerd.metadata.references import EXPIRE, Edge
from pycontainerd.metadata.times import clamped
from pycontainerd.metadata.transaction import Transaction
from pycontainerd.quoting import quote

T = TypeVar("T")

TARGET: Final = "target"
"""The origin of the edge from an image to what it points at."""

_COLUMNS: Final = Columns(
    {
        ("name",): "objects.name",
        ("target", "digest"): "images.target_digest",
        ("target", "mediatype"): "images.target_media_type",
    },
    maps={"labels": "labels", "annotations": "annotations"},
)
_JOINED: Final = "FROM objects CROSS JOIN images ON images.id = objects.id"
_GET: Final = f"SELECT images.wire {_JOINED} WHERE {objects.BY_NAME}"
_GET_ROW: Final = f"SELECT objects.id, images.wire {_JOINED} WHERE {objects.BY_NAME}"
_LIST: Final = f"SELECT images.wire {_JOINED} WHERE {objects.IN_NAMESPACE}"


class Codec(Protocol):
    """How images become bytes and back."""

    def decode(self, wire: bytes) -> Image: ...

    def encode(self, image: Image) -> bytes: ...


class Publisher(Protocol):
    """What the images need of the events' exchange."""

    def publish(self, namespace: str, topic: str, event: Message, /) -> None: ...


class Leases(Protocol):
    """What the images need of the leases."""

    def attach(self, tx: Transaction, namespace: str, lease: str, kind: str, name: str, /) -> None: ...

    def detach(self, tx: Transaction, namespace: str, lease: str, kind: str, name: str, /) -> None: ...


class Collector(Protocol):
    """What the images need of the collector."""

    async def collected(self) -> None:
        """Returns when a collection that begins now has ended."""


class ImageStore:
    """The images of all namespaces. Calls that name a lease may raise NotFound for it."""

    def __init__(self, database: Database, leases: Leases, events: Publisher, codec: Codec) -> None:
        self._database = database
        self._leases = leases
        self._events = events
        self._codec = codec
        self._collector: Collector | None = None

    def collect_with(self, collector: Collector) -> None:
        """Names the collector that synchronous deletes wait for; without one they don't wait."""
        self._collector = collector

    def get(self, namespace: str, name: str) -> Image:
        """One image. Raises NotFound."""
        return self._codec.decode(self.get_wire(namespace, name))

    def get_wire(self, namespace: str, name: str) -> bytes:
        """One image as it is sent. Raises NotFound."""
        with self._database.asking() as connection:
            row = connection.execute(_GET, (namespace, kinds.IMAGES, name)).fetchone()
        if row is None:
            raise _not_found(name)
        wire: bytes = row[0]
        return wire

    async def list(self, namespace: str, filters_: Sequence[str] = ()) -> Sequence[Image]:
        """The images that pass one of the filters, in byte order of their names. Raises InvalidArgument."""
        return await self.list_made(namespace, filters_, lambda wires: [self._codec.decode(wire) for wire in wires])

    async def list_made(self, namespace: str, filters_: Sequence[str], make: Callable[[Sequence[bytes]], T]) -> T:
        """What *make* makes of the bytes of the same list, each image as it is sent, where they are read."""
        wanted = filters.compile(filters_, kind_twice=True)
        condition = wanted.where(_COLUMNS)
        sql = f"{_LIST} AND {condition.sql} ORDER BY objects.name"
        arguments = (namespace, kinds.IMAGES, *condition.arguments)

        def read(connection: sqlite3.Connection) -> T:
            wires: Sequence[bytes] = [wire for (wire,) in connection.execute(sql, arguments)]
            if not condition.exact:
                wires = [wire for wire in wires if wanted.matches(self._codec.decode(wire))]
            return make(wires)

        return await listed(self._database, namespace, kinds.IMAGES, read)

    async def create(
        self, namespace: str, image: Image, *, lease: str | None = None, at_ns: int | None = None
    ) -> Image:
        """Stores a new image. Its times are *at_ns*, or now. Raises InvalidArgument, AlreadyExists."""

        def make(tx: Transaction) -> Image:
            image.check()
            now_ns = tx.now_ns if at_ns is None else at_ns
            id_ = objects.insert(tx, namespace, kinds.IMAGES, image.name, created_ns=clamped(now_ns))
            if id_ is None:
                raise AlreadyExists(f"image {quote(image.name)}")
            made = self._write(tx, id_, structs.replace(image, created_ns=now_ns, updated_ns=now_ns), None)
            self._hold(tx, namespace, made, lease)
            event = ImageCreate(name=made.name, labels=made.labels)
            tx.after_commit(lambda: self._events.publish(namespace, "/images/create", event))
            return made

        return await self._database.write(make, what=f"create image {quote(image.name)}")

    async def update(
        self,
        namespace: str,
        sent: Image,
        paths: Sequence[str] = (),
        *,
        lease: str | None = None,
        at_ns: int | None = None,
    ) -> Image:
        """Changes what *paths* name (`labels`, `target`, `annotations`, single ones of the maps), or all.

        Raises NotFound, InvalidArgument.
        """

        def change(tx: Transaction) -> Image:
            row = tx.execute(_GET_ROW, (namespace, kinds.IMAGES, sent.name)).fetchone()
            if row is None:
                raise _not_found(sent.name)
            stored = self._codec.decode(row[1])
            patched = _patched(stored, sent, paths)
            patched.check()
            now_ns = tx.now_ns if at_ns is None else at_ns
            tx.execute("UPDATE objects SET updated_ns = ? WHERE id = ?", (clamped(now_ns), row[0]))
            changed = self._write(tx, row[0], structs.replace(patched, updated_ns=now_ns), stored)
            self._hold(tx, namespace, changed, lease)
            event = ImageUpdate(name=changed.name, labels=changed.labels)
            tx.after_commit(lambda: self._events.publish(namespace, "/images/update", event))
            return changed

        return await self._database.write(change, what=f"update image {quote(sent.name)}")

    async def delete(
        self, namespace: str, name: str, *, target: str = "", lease: str | None = None, sync: bool = False
    ) -> None:
        """Deletes an image, if *target* is given only while it points there; with *sync* returns after the collector
        has taken what it held. Raises NotFound.
        """

        def remove(tx: Transaction) -> None:
            row = tx.execute(_GET_ROW, (namespace, kinds.IMAGES, name)).fetchone()
            if row is None:
                raise _not_found(name)
            found = self._codec.decode(row[1]).target.digest
            if target and target != found:
                raise NotFound(f"image {quote(name)} has target {found}, not {target}")
            objects.delete(tx, row[0], kinds.IMAGES)
            if lease is not None:
                self._leases.detach(tx, namespace, lease, kinds.IMAGES, name)
            tx.after_commit(lambda: self.publish_deleted(namespace, name))

        await self._database.write(remove, what=f"delete image {quote(name)}")
        if sync and self._collector is not None:
            await self._collector.collected()

    def publish_deleted(self, namespace: str, name: str) -> None:
        """Says that an image is gone, be it deleted or collected."""
        self._events.publish(namespace, "/images/delete", ImageDelete(name=name))

    def _hold(self, tx: Transaction, namespace: str, image: Image, lease: str | None) -> None:
        # An image lives by itself, so a lease holds only one that may expire.
        if lease is not None and EXPIRE in image.labels:
            self._leases.attach(tx, namespace, lease, kinds.IMAGES, image.name)

    def _write(self, tx: Transaction, id_: int, image: Image, before: Image | None) -> Image:
        """Writes the rows of an image, a new one or one that was stored as *before*. Returns it as it is stored."""
        try:
            if before is None:
                kept = labels.add(tx, id_, kinds.IMAGES, image.labels)
            else:
                kept = labels.replace(tx, id_, image.labels)
        except Unknown as error:
            raise error.within(f"writing labels for image {image.name}") from None
        try:
            annotations = labels.stored(image.target.annotations)
        except Unknown as error:
            raise error.within(f"writing Annotations for image {image.name}") from None
        target = structs.replace(image.target, annotations=annotations)
        stored = structs.replace(image, labels=kept, target=target)
        stored = structs.replace(stored, wire=self._codec.encode(stored))
        _write_rows(tx, id_, stored, before)
        if before is None or before.target.digest != target.digest:
            objects.set_edges(tx, id_, TARGET, [Edge(kinds.CONTENT, target.digest, flat=True)])
        return stored


def _write_rows(tx: Transaction, id_: int, image: Image, before: Image | None) -> None:
    target = image.target
    tx.execute(
        "INSERT INTO images (id, target_digest, target_media_type, target_size, wire) VALUES (?1, ?2, ?3, ?4, ?5)"
        " ON CONFLICT (id) DO UPDATE SET target_digest = ?2, target_media_type = ?3, target_size = ?4, wire = ?5",
        (id_, target.digest, target.media_type, target.size, image.wire),
    )
    if target.annotations == (before.target.annotations if before else {}):
        return
    tx.execute("DELETE FROM annotations WHERE owner = ?", (id_,))
    tx.connection.executemany(
        "INSERT INTO annotations (owner, key, value) VALUES (?, ?, ?)",
        [(id_, key, value) for key, value in target.annotations.items()],
    )


def _patched(stored: Image, sent: Image, paths: Sequence[str]) -> Image:
    """*stored* as *paths* change it to what was *sent*."""
    if not paths:
        return structs.replace(sent, created_ns=stored.created_ns)
    target, said = stored.target, stored.labels
    for path in paths:
        if path == "labels" or fieldmask.key_of(path, "labels") is not None:
            said = fieldmask.patched(said, sent.labels, [path])
        elif path == "target":
            target = sent.target
        elif path == "annotations" or fieldmask.key_of(path, "annotations") is not None:
            target = structs.replace(target, annotations=_annotations(target, sent.target, path))
        else:
            raise InvalidArgument(f"cannot update {quote(path)} field on image {quote(sent.name)}")
    return structs.replace(stored, target=target, labels=said)


def _annotations(stored: Target, sent: Target, path: str) -> Mapping[str, str]:
    return fieldmask.patched(stored.annotations, sent.annotations, [path], "annotations")


def _not_found(name: str) -> NotFound:
    return NotFound(f"image {quote(name)}")
