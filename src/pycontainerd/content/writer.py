"""One writer of one ingest: what it may append, when it may commit, what its commit means to its namespace.

A writer is over a file that grows, or, while a blob of that digest is known to another namespace, over nothing: such
a *shared* ingest is complete from the beginning, and becomes a copy if bytes are added.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from pycontainerd import faults
from pycontainerd.api.containerd.events_pb2 import ContentCreate
from pycontainerd.config.duration import Duration
from pycontainerd.content import rows
from pycontainerd.content.backend import Backend, Writing
from pycontainerd.content.model import CANONICAL, Digest
from pycontainerd.content.times import format_ns
from pycontainerd.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, Unavailable
from pycontainerd.metadata import kinds, labels
from pycontainerd.metadata.transaction import Transaction

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from pycontainerd.clock import Clock
    from pycontainerd.metadata.database import Database

faults.declare("content.commit.recorded")


class Leases(Protocol):
    """What the content store needs of the leases: names that live as long as a lease does."""

    def attach(self, tx: Transaction, namespace: str, lease: str, kind: str, name: str, /) -> None:
        """Raises NotFound if there is no such lease."""

    def detach(self, tx: Transaction, namespace: str, lease: str, kind: str, name: str, /) -> None:
        """Fine if there is no such lease, or if it doesn't hold the name."""


class Publisher(Protocol):
    """Where events go."""

    def publish(self, namespace: str, topic: str, event: Message, /) -> None: ...


class IngestLocked(Unavailable):
    """Another writer holds the ingest. Callers wait for it and look again."""

    def __init__(self, name: str, *, since_ns: int, held_ns: int) -> None:
        since = format_ns(since_ns).replace("T", " ").replace("Z", " +0000 UTC")
        super().__init__(f"ref {name} locked for {Duration(held_ns)} (since {since})")


class Lock:
    """The right to be the only writer of one ref."""

    __slots__ = ("name", "released", "since", "since_ns")

    def __init__(self, name: str, since_ns: int) -> None:
        self.name = name
        self.since_ns = since_ns
        self.since = time.monotonic_ns()
        self.released = asyncio.Event()


class Locks:
    """Who writes what, in this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._held: dict[tuple[str, str], Lock] = {}

    def take_nowait(self, namespace: str, ref: str) -> Lock:
        """Locks *ref*. Raises IngestLocked."""
        held = self._held.get((namespace, ref))
        if held is not None:
            raise IngestLocked(held.name, since_ns=held.since_ns, held_ns=time.monotonic_ns() - held.since)
        lock = self._held[namespace, ref] = Lock(f"{namespace}/{ref}", self._clock.now_ns())
        return lock

    async def wait_free(self, namespace: str, ref: str) -> None:
        """Returns when nobody writes *ref*; somebody else may be quicker to take it."""
        held = self._held.get((namespace, ref))
        if held is not None:
            await held.released.wait()

    def release(self, namespace: str, ref: str) -> None:
        self._held.pop((namespace, ref)).released.set()


class Writer:
    """An open ingest of a namespace; made by `ContentStore.ingest`, which closes it."""

    def __init__(
        self,
        namespace: str,
        ref: str,
        lease: str | None,
        *,
        row: rows.IngestRow,
        writing: Writing | None,
        size: int,
        total: int,
        database: Database,
        backend: Backend,
        leases: Leases,
        events: Publisher,
        opened_ns: int,
    ) -> None:
        self._namespace = namespace
        self._ref = ref
        self._lease = lease
        self._row = row
        self._writing = writing
        self._size = size
        self._total = total
        self._database = database
        self._backend = backend
        self._leases = leases
        self._events = events
        self._opened_ns = opened_ns
        self._ended = False

    @property
    def ref(self) -> str:
        return self._ref

    @property
    def offset(self) -> int:
        """The number of bytes so far."""
        return self._writing.offset if self._writing else self._size

    @property
    def digest(self) -> str:
        """The digest of the bytes so far."""
        return str(self._writing.digest) if self._writing else self._row.expected

    @property
    def started_ns(self) -> int:
        return self._writing.started_ns if self._writing else self._opened_ns

    @property
    def updated_ns(self) -> int:
        return self._writing.updated_ns if self._writing else self._opened_ns

    async def write(self, data: bytes | memoryview) -> None:
        """Appends *data*."""
        if not data:
            return
        if self._writing is None:
            self._writing = await self._backend.copy_into(
                self._row.backend, Digest.parse(self._row.expected), self._total
            )
        await self._writing.write(data)

    async def truncate(self) -> None:
        """Drops all bytes."""
        if self._writing is None:
            self._writing = await self._backend.begin(self._row.backend, self._total)
        await self._writing.truncate()

    async def commit(self, size: int = 0, expected: str = "", labels_: Mapping[str, str] | None = None) -> Digest:
        """Makes the bytes a blob of the namespace and returns its digest.

        Raises FailedPrecondition if there are not *size* bytes (0: any number) or if their digest is not *expected*
        (empty: any): the ingest remains. Raises AlreadyExists if the namespace has the blob: the ingest is dropped and
        the lease holds the blob. Raises InvalidArgument for labels that are too long.
        """
        if size and size != self.offset:
            raise FailedPrecondition(f'"{self._ref}" failed size validation: {self.offset} != {size}')
        digest = await self._checked_digest(expected)
        kept = dict(labels_ or {})
        labels.validate(kept, "info.Labels")
        with self._database.asking() as connection:
            known = rows.exists(connection, self._namespace, str(digest))
        async with self._backend.committing(digest):
            recorded = await self._write_record(digest, kept) if known or self._writing is None else None
            if recorded is None and self._writing is not None:
                await self._writing.publish(digest)
                recorded = await self._write_record(digest, kept, published=True)
        faults.reach("content.commit.recorded")
        await self._drop()
        if not recorded:
            raise AlreadyExists(f"content {digest}")
        return digest

    async def _checked_digest(self, expected: str) -> Digest:
        if self._writing is None:
            if expected and expected != self._row.expected:
                raise FailedPrecondition(f'"{self._ref}" unexpected digest')
            return Digest.parse(self._row.expected)
        algorithm, colon, _ = expected.partition(":")
        if expected and not (algorithm and colon):
            raise InvalidArgument(f'expected "{expected}" is no digest')
        known = algorithm in {"sha256", "sha384", "sha512"}
        digest = await self._writing.digest_by(algorithm if known else CANONICAL)
        if expected and expected != str(digest):
            raise FailedPrecondition(f"unexpected commit digest {digest}, expected {expected}")
        return digest

    async def _write_record(self, digest: Digest, kept: Mapping[str, str], *, published: bool = False) -> bool | None:
        def record(tx: Transaction) -> bool | None:
            return self._record(tx, digest, kept, published=published)

        return await self._database.write(record, what=f"commit content {digest}")

    def _record(self, tx: Transaction, digest: Digest, kept: Mapping[str, str], *, published: bool) -> bool | None:
        """In the transaction: the blob's row for the ingest's. False if the namespace had the blob already; None, and
        nothing done, if it hasn't and the file was not *published*.
        """
        name = str(digest)
        ingest = rows.find_ingest(tx.connection, self._namespace, self._ref)
        if self._writing is None and not rows.named_by_any(tx.connection, name):
            # Somebody aborted the ingest that held the shared blob, and then the blob went.
            raise NotFound(f"content {name}")
        if self._writing is not None and not published and not rows.exists(tx.connection, self._namespace, name):
            return None
        is_new = rows.insert_blob(tx, self._namespace, digest, self.offset, kept)
        if self._lease is not None:
            self._leases.attach(tx, self._namespace, self._lease, kinds.CONTENT, name)
            self._leases.detach(tx, self._namespace, self._lease, kinds.INGESTS, self._ref)
        if ingest is not None:
            # No file of it remains, so the collector has nothing to do.
            tx.execute("DELETE FROM objects WHERE id = ?", (ingest.id,))
        if not is_new:
            return False
        event = ContentCreate(digest=name, size=self.offset)
        tx.after_commit(lambda: self._events.publish(self._namespace, "/content/create", event))
        return True

    async def _drop(self) -> None:
        """The ingest is over: forgets it, with what may be left of it on disk."""
        self._ended = True
        if self._writing is not None:
            await self._writing.discard()
        else:
            await self._backend.discard(self._row.backend)

    async def abort(self) -> None:
        """Drops the ingest and its row."""

        def forget(tx: Transaction) -> None:
            row = rows.find_ingest(tx.connection, self._namespace, self._ref)
            if row is not None:
                tx.execute("DELETE FROM objects WHERE id = ?", (row.id,))
            if self._lease is not None:
                self._leases.detach(tx, self._namespace, self._lease, kinds.INGESTS, self._ref)

        await self._database.write(forget, what=f"abort ingest {self._ref}")
        await self._drop()

    async def close(self) -> None:
        """Keeps an ingest that was neither committed nor aborted, for a resume."""
        if not self._ended and self._writing is not None:
            await self._writing.close()
        self._ended = True
