"""The content of each namespace: what a client sees, and who may write what.

A namespace sees the blobs that it has rows of; the bytes lie once on disk, whoever brought them. Rows go first and
files later: a deleted blob's file is taken by the collector when no namespace names it any more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

from pycontainerd import faults
from pycontainerd.api.containerd.events_pb2 import ContentDelete
from pycontainerd.clock import Clock
from pycontainerd.content import rows
from pycontainerd.content.backend import Backend, Blob
from pycontainerd.content.model import BlobInfo, Digest, IngestStatus
from pycontainerd.content.writer import IngestLocked, Leases, Lock, Locks, Publisher, Writer
from pycontainerd.errors import AlreadyExists, InvalidArgument, NotFound
from pycontainerd.metadata import fieldmask, filters, kinds, labels, objects
from pycontainerd.metadata.database import Database
from pycontainerd.metadata.listing import paged
from pycontainerd.metadata.transaction import Transaction
from pycontainerd.quoting import quote

faults.declare("content.ingest.reserved", "content.remove.aborted")

INGEST_LIFE_NS: Final = 24 * 3_600 * 1_000_000_000
"""How long an ingest that no lease holds waits for its writer to come back."""


class ContentStore:
    """Blobs and ingests of all namespaces. With *isolated* a namespace must send what it wants to have."""

    def __init__(
        self,
        database: Database,
        backend: Backend,
        leases: Leases,
        events: Publisher,
        clock: Clock,
        *,
        isolated: bool = False,
    ) -> None:
        self.backend = backend
        self._database = database
        self._leases = leases
        self._events = events
        self._clock = clock
        self._isolated = isolated
        self._locks = Locks(clock)

    def has(self, namespace: str, digest: str) -> bool:
        """Whether *namespace* has a blob called *digest*, which may be any text."""
        with self._database.asking() as connection:
            return rows.exists(connection, namespace, digest)

    def info(self, namespace: str, digest: Digest) -> BlobInfo:
        """What *namespace* knows of *digest*. Raises NotFound."""
        with self._database.reading() as connection:
            found = rows.find_blob(connection, namespace, digest)
        if found is None:
            raise NotFound(f"content digest {digest}")
        return found[1]

    def info_wire(self, namespace: str, digest: Digest) -> bytes:
        """Like `info`, as it is sent."""
        with self._database.reading() as connection:
            wire = rows.find_wire(connection, namespace, str(digest))
        if wire is None:
            raise NotFound(f"content digest {digest}")
        return wire

    def reader(self, namespace: str, digest: Digest) -> Blob:
        """The open blob *digest*, to be used in a `with`. Raises NotFound."""
        with self._database.asking() as connection:
            size = rows.size_of(connection, namespace, digest)
        if size is None:
            raise NotFound(f"content digest {digest}")
        return self.backend.open(digest, namespace, size)

    async def read_all(self, namespace: str, digest: Digest, *, limit: int) -> bytes:
        """The bytes of a small blob. Raises NotFound, InvalidArgument if there are more than *limit*."""
        with self.reader(namespace, digest) as blob:
            if blob.size > limit:
                raise InvalidArgument(f"content {digest}: {blob.size} bytes are more than {limit}")
            return await blob.read(0, blob.size)

    async def list_blobs(self, namespace: str, filters_: Sequence[str] = ()) -> AsyncIterator[Sequence[BlobInfo]]:
        """The blobs that pass one of the filters in the order of their digests, up to listing.PAGE at a time."""
        async for wires in self.list_wire(namespace, filters_):
            yield [rows.decode(wire) for wire in wires]

    async def list_wire(self, namespace: str, filters_: Sequence[str] = ()) -> AsyncIterator[Sequence[bytes]]:
        """Like `list_blobs`, each blob as it is sent."""
        wanted = filters.compile(filters_)
        condition = wanted.where(rows.COLUMNS)

        def read(connection: sqlite3.Connection, after: str, count: int) -> Sequence[tuple[str, bytes]]:
            return rows.blobs_after(connection, namespace, after, count, condition)

        def matches(row: tuple[str, bytes]) -> bool:
            return wanted.matches(_BlobFields(rows.decode(row[1])))

        pages = paged(
            self._database,
            namespace,
            kinds.CONTENT,
            read,
            name=lambda row: row[0],
            wanted=None if condition.exact else matches,
            scans=condition.is_selective,
        )
        async for page in pages:
            yield [wire for _, wire in page]

    async def update(
        self, namespace: str, digest: Digest, sent: Mapping[str, str], paths: Iterable[str] = ()
    ) -> BlobInfo:
        """Changes the labels that *paths* name to what was *sent*; without paths, all of them.

        Raises NotFound, InvalidArgument for another path or for labels that are too long.
        """
        paths = list(paths)

        def change(tx: Transaction) -> BlobInfo:
            found = rows.find_blob(tx.connection, namespace, digest)
            if found is None:
                raise NotFound(f"content digest {digest}")
            id_, info = found
            for path in paths:
                if path != "labels" and fieldmask.key_of(path, "labels") is None:
                    raise InvalidArgument(f"cannot update {quote(path)} field on content info {quote(str(digest))}")
            wanted = fieldmask.patched(info.labels, sent, paths)
            labels.validate(wanted, "info.Labels")
            return rows.relabel_blob(tx, id_, info, wanted)

        return await self._database.write(change, what=f"update content {digest}")

    async def delete(self, namespace: str, digest: Digest, lease: str | None = None) -> None:
        """Takes *digest* from *namespace*, and from *lease*. Raises NotFound."""
        name = str(digest)

        def remove(tx: Transaction) -> None:
            id_ = objects.find(tx.connection, namespace, kinds.CONTENT, name)
            if id_ is None:
                raise NotFound(f"content digest {digest}")
            objects.delete(tx, id_, kinds.CONTENT)
            if lease is not None:
                self._leases.detach(tx, namespace, lease, kinds.CONTENT, name)
            event = ContentDelete(digest=name)
            tx.after_commit(lambda: self._events.publish(namespace, "/content/delete", event))

        await self._database.write(remove, what=f"delete content {digest}")

    async def status(self, namespace: str, ref: str) -> IngestStatus:
        """How far the ingest *ref* is. Raises NotFound."""
        with self._database.asking() as connection:
            row = rows.find_ingest(connection, namespace, ref)
        context = f"could not get status for ref {quote(ref)}"
        if row is None:
            raise NotFound(f"{context}: reference {ref}")
        try:
            return await self.backend.status(row.backend, ref)
        except NotFound as error:
            raise error.within(context) from None

    async def list_statuses(self, namespace: str, filters_: Sequence[str] = ()) -> list[IngestStatus]:
        """The ingests of *namespace* that have bytes and pass one of the filters, in the order of their refs."""
        wanted = filters.compile(filters_)
        with self._database.asking() as connection:
            found = rows.ingests_of(connection, namespace)
        chosen = [(row.backend, row.ref) for row in found if not filters_ or wanted.matches(_IngestFields(row.ref))]
        return await self.backend.statuses(chosen)

    async def abort(self, namespace: str, ref: str, lease: str | None = None) -> None:
        """Drops the ingest *ref*, even under the hands of its writer. Raises NotFound."""

        def forget(tx: Transaction) -> str:
            row = rows.find_ingest(tx.connection, namespace, ref)
            if row is None:
                raise NotFound(f"reference {ref}")
            tx.execute("DELETE FROM objects WHERE id = ?", (row.id,))
            if lease is not None:
                self._leases.detach(tx, namespace, lease, kinds.INGESTS, ref)
            return row.backend

        name = await self._database.write(forget, what=f"abort ingest {ref}")
        faults.reach("content.remove.aborted")
        await self.backend.discard(name)

    @asynccontextmanager
    async def ingest(
        self,
        namespace: str,
        ref: str,
        *,
        total: int = 0,
        expected: str = "",
        lease: str | None = None,
        patient: bool = False,
    ) -> AsyncIterator[Writer]:
        """The one writer of the ingest *ref*, begun or resumed. Left without a commit, it stays for a resume.

        *total* is how many bytes will come, 0 if unknown, *expected* their digest, or empty. The ingest belongs to
        *lease*, or lives for a day. Raises AlreadyExists if the namespace has *expected*: the lease then holds it;
        IngestLocked while another writer has *ref*, which a *patient* caller waits for; NotFound if there is no such
        lease.
        """
        lock = await self._lock(namespace, ref, expected, lease, patient=patient)
        try:
            writer = await self._open(namespace, ref, lock, total=total, expected=expected, lease=lease)
            try:
                yield writer
            finally:
                await writer.close()
        finally:
            self._locks.release(namespace, ref)

    async def _lock(self, namespace: str, ref: str, expected: str, lease: str | None, *, patient: bool) -> Lock:
        while True:
            try:
                return self._locks.take_nowait(namespace, ref)
            except IngestLocked:
                # The other writer need not be waited for if what is expected is there.
                if expected and self.has(namespace, expected):
                    await self._hold_existing(namespace, expected, lease)
                if not patient:
                    raise
            await self._locks.wait_free(namespace, ref)

    async def _hold_existing(self, namespace: str, digest: str, lease: str | None) -> None:
        """Lets *lease* hold a blob that is there, and raises AlreadyExists."""
        if lease is not None:

            def hold(tx: Transaction) -> None:
                self._attach_existing(tx, namespace, digest, lease)

            await self._database.write(hold, what=f"lease content {digest}")
        raise AlreadyExists(f"content {digest}")

    def _attach_existing(self, tx: Transaction, namespace: str, digest: str, lease: str) -> None:
        try:
            self._leases.attach(tx, namespace, lease, kinds.CONTENT, digest)
        except NotFound as error:
            raise error.within("unable to lease content") from None

    async def _open(
        self, namespace: str, ref: str, lock: Lock, *, total: int, expected: str, lease: str | None
    ) -> Writer:
        def reserve(tx: Transaction) -> tuple[rows.IngestRow, int] | None:
            if expected and rows.exists(tx.connection, namespace, expected):
                if lease is not None:
                    self._attach_existing(tx, namespace, expected, lease)
                return None
            size = rows.shared_size(tx.connection, expected, isolated=self._isolated) if expected else None
            shares = expected if size is not None and total in {0, size} else ""
            expires_ns = None if lease is not None else tx.now_ns + INGEST_LIFE_NS
            row = rows.ensure_ingest(tx, namespace, ref, shares=shares, expires_ns=expires_ns)
            if lease is not None:
                self._leases.attach(tx, namespace, lease, kinds.INGESTS, ref)
            return row, size or 0

        reserved = await self._database.write(reserve, what=f"open ingest {ref}")
        faults.reach("content.ingest.reserved")
        if reserved is None:
            raise AlreadyExists(f"content {expected}")
        row, size = reserved
        lock.name = row.backend
        return Writer(
            namespace,
            ref,
            lease,
            row=row,
            writing=None if row.expected else await self.backend.begin(row.backend, total),
            size=size,
            total=total,
            database=self._database,
            backend=self.backend,
            leases=self._leases,
            events=self._events,
            opened_ns=self._clock.now_ns(),
        )


class _BlobFields:
    """A blob as the filter language sees it."""

    __slots__ = ("_info",)

    def __init__(self, info: BlobInfo) -> None:
        self._info = info

    def field(self, path: Sequence[str]) -> tuple[str, bool]:
        match path:
            case ["digest"]:
                return str(self._info.digest), True
            case ["labels", *rest]:
                value = self._info.labels.get(".".join(rest))
                return value or "", value is not None
            case _:
                return "", False


class _IngestFields:
    """An ingest as the filter language sees it."""

    __slots__ = ("_ref",)

    def __init__(self, ref: str) -> None:
        self._ref = ref

    def field(self, path: Sequence[str]) -> tuple[str, bool]:
        return (self._ref, True) if list(path) == ["ref"] else ("", False)
