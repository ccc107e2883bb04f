"""The activations of all namespaces: a row each, which the collector may take, and a directory with its mounts."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol
from weakref import WeakValueDictionary

from msgspec import Struct, structs

from pycontainerd import faults
from pycontainerd.activations.making import Maker
from pycontainerd.activations.model import Activation, Active, plan
from pycontainerd.errors import AlreadyExists, Error, NotFound, Unimplemented, Unknown
from pycontainerd.ids import Ids
from pycontainerd.metadata import kinds, labels, objects
from pycontainerd.metadata.database import Database
from pycontainerd.metadata.transaction import Transaction
from pycontainerd.mounts.model import Mount
from pycontainerd.quoting import quote
from pycontainerd.threads import Threads

faults.declare("mounts.reserved", "mounts.made", "mounts.recorded", "mounts.forgotten", "mounts.collect.listed")

_log: Final = logging.getLogger(__name__)

SEQUENCE: Final = "mounts"

_JOINED: Final = "FROM objects CROSS JOIN mounts ON mounts.id = objects.id"
_GET: Final = f"SELECT objects.id, mounts.directory, mounts.wire {_JOINED} WHERE {objects.BY_NAME}"
_LIST: Final = f"SELECT mounts.wire {_JOINED} WHERE {objects.IN_NAMESPACE} ORDER BY objects.name"


class Codec(Protocol):
    """How activations become bytes and back."""

    def decode(self, wire: bytes) -> Activation: ...

    def encode(self, activation: Activation) -> bytes: ...


class Leases(Protocol):
    """What the activations need of the leases."""

    def own(self, tx: Transaction, namespace: str, lease: str, kind: str, name: str, /) -> None:
        """Fine if there is no such lease."""

    def disown(self, tx: Transaction, namespace: str, kind: str, name: str, /) -> None: ...


class _Reserved(Struct, frozen=True):
    id: int
    directory: int
    labels: Mapping[str, str]


class Activations:
    """Makes, finds and takes away activations; also what the collector has taken from the database."""

    def __init__(
        self, database: Database, leases: Leases, *, maker: Maker, codec: Codec, threads: Threads, ids: Ids
    ) -> None:
        self._database = database
        self._leases = leases
        self._maker = maker
        self._codec = codec
        self._threads = threads
        self._ids = ids
        self._busy: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        self._going: set[int] = set()

    async def begin(self) -> None:
        """Forgets the activations whose directories are gone: the machine was started anew."""
        stored = await self._database.read(
            lambda connection: connection.execute("SELECT id, directory FROM mounts").fetchall()
        )
        if not stored:
            return
        there = await self._threads.run(self._maker.numbers)
        gone = [(id_,) for id_, directory in stored if directory not in there]

        def forget(tx: Transaction) -> None:
            tx.connection.executemany("DELETE FROM objects WHERE id = ?", gone)

        if gone:
            await self._database.write(forget, what="forget mounts of before", quiet=True)

    def is_needed(self, mounts: Sequence[Mount]) -> bool:
        """Whether there is something that the caller can't mount."""
        try:
            plan(mounts, transformers=tuple(self._maker.transformers), handlers=tuple(self._maker.handlers))
        except Unimplemented:
            return False
        return True

    async def activate(
        self,
        namespace: str,
        name: str,
        mounts: Sequence[Mount],
        *,
        said: Mapping[str, str] | None = None,
        temporary: bool = False,
        lease: str | None = None,
        allowed: Sequence[str] = (),
    ) -> Activation:
        """Mounts what the caller can't; see `model.plan` for *temporary* and *allowed*.

        Raises Unimplemented if there is nothing to do, AlreadyExists, and what `Maker.make` raises.
        """
        wanted = plan(
            mounts,
            transformers=tuple(self._maker.transformers),
            handlers=tuple(self._maker.handlers),
            temporary=temporary,
            allowed=allowed,
        )
        async with self._alone(namespace, name):
            reserved = await self._reserve(namespace, name, said or {}, lease)
            try:
                faults.reach("mounts.reserved")
                active, system = await self._threads.run(self._maker.make, reserved.directory, wanted)
                faults.reach("mounts.made")
                made = Activation(name, active, system, reserved.labels)
                await self._finish(reserved.id, made)
            except BaseException:
                await self._abandon(namespace, name, reserved)
                raise
            faults.reach("mounts.recorded")
        return made

    async def deactivate(self, namespace: str, name: str) -> None:
        """Forgets an activation and takes its mounts away. Raises NotFound, Unknown for mounts that are busy.

        What could not be taken away is left to the collector.
        """

        def forget(tx: Transaction) -> int:
            row = tx.execute(_GET, (namespace, kinds.MOUNTS, name)).fetchone()
            if row is None:
                raise NotFound(_missing(tx.connection, namespace, name))
            tx.execute("DELETE FROM objects WHERE id = ?", (row[0],))
            self._leases.disown(tx, namespace, kinds.MOUNTS, name)
            directory: int = row[1]
            return directory

        async with self._alone(namespace, name):
            directory = await self._database.write(forget, what=f"deactivate mounts {quote(name)}")
            faults.reach("mounts.forgotten")
            try:
                await self._take_away(directory)
            except OSError as error:
                words = (error.strerror or str(error)).lower()
                raise Unknown(f"failed to unmount target {error.filename}: {words}") from error

    def info(self, namespace: str, name: str) -> Activation:
        """One activation, its active mounts with their types only. Raises NotFound."""
        return self._codec.decode(self.info_wire(namespace, name))

    def info_wire(self, namespace: str, name: str) -> bytes:
        """One activation as it is sent. Raises NotFound."""
        with self._database.reading() as connection:
            row = connection.execute(_GET, (namespace, kinds.MOUNTS, name)).fetchone()
        if row is None:
            raise NotFound(f"mount {quote(name)} not found")
        wire: bytes = row[2]
        return wire

    async def list_wire(self, namespace: str) -> Sequence[bytes]:
        """All activations, as they are sent, in byte order of their names."""
        return await self._database.read(
            lambda connection: [wire for (wire,) in connection.execute(_LIST, (namespace, kinds.MOUNTS))]
        )

    @asynccontextmanager
    async def plain(self, namespace: str, mounts: Sequence[Mount]) -> AsyncIterator[Sequence[Mount]]:
        """The block gets *mounts* as anybody can mount them; what had to be mounted for that ends with the block."""
        if not self.is_needed(mounts):
            yield mounts
            return
        name = f"temporary-{self._ids.unique()}"
        # Its row stays reserved, so that no collection takes it, and nobody sees it.
        reserved = await self._reserve(namespace, name, {}, None)
        try:
            wanted = plan(mounts, transformers=tuple(self._maker.transformers), handlers=tuple(self._maker.handlers))
            _, system = await self._threads.run(self._maker.make, reserved.directory, wanted)
            yield system
        finally:
            await self._abandon(namespace, name, reserved)

    async def collect(self) -> None:
        """Takes away what is mounted in directories that no row names."""
        # The disk is read first: a directory is made after its row.
        there = await self._threads.run(self._maker.numbers)
        if not there:
            return
        faults.reach("mounts.collect.listed")
        named = await self._database.read(
            lambda connection: {number for (number,) in connection.execute("SELECT directory FROM mounts")}
        )
        for number in sorted(there - named - self._going):
            try:
                await self._take_away(number)
            except OSError as error:
                # One that is busy must not keep the others; the next collection tries again.
                _log.warning("failed to take away mounts %s: %s", self._maker.path(number), error)

    async def _reserve(self, namespace: str, name: str, said: Mapping[str, str], lease: str | None) -> _Reserved:
        def reserve(tx: Transaction) -> _Reserved:
            if not name:
                raise Unknown("bucket name required")
            id_ = objects.insert(tx, namespace, kinds.MOUNTS, name, reserved=True)
            if id_ is None:
                raise AlreadyExists(f"mount {quote(name)}")
            directory = tx.next_in_sequence(SEQUENCE)
            tx.execute("INSERT INTO mounts (id, directory, wire) VALUES (?, ?, ?)", (id_, directory, b""))
            kept = labels.replace(tx, id_, said)
            if lease is not None:
                self._leases.own(tx, namespace, lease, kinds.MOUNTS, name)
            return _Reserved(id_, directory, kept)

        return await self._database.write(reserve, what=f"activate mounts {quote(name)}")

    async def _finish(self, id_: int, made: Activation) -> None:
        # As with the original, what is stored of an active mount is its type.
        shown = [Active(Mount(active.mount.type, ""), active.point, active.mounted_at_ns) for active in made.active]
        wire = self._codec.encode(structs.replace(made, active=shown))

        def finish(tx: Transaction) -> None:
            tx.execute("UPDATE mounts SET wire = ? WHERE id = ?", (wire, id_))
            objects.finish(tx, id_)

        await self._database.write(finish, what=f"activate mounts {quote(made.name)}")

    async def _abandon(self, namespace: str, name: str, reserved: _Reserved) -> None:
        def forget(tx: Transaction) -> None:
            tx.execute("DELETE FROM objects WHERE id = ?", (reserved.id,))
            self._leases.disown(tx, namespace, kinds.MOUNTS, name)

        with suppress(Error, OSError):  # what is left is taken at the next start, or by the collector
            await self._database.write(forget, what=f"activate mounts {quote(name)}", quiet=True)
            await self._take_away(reserved.directory)

    async def _take_away(self, number: int) -> None:
        if number in self._going:
            return
        self._going.add(number)
        try:
            await self._threads.run(self._maker.take_away, number)
        finally:
            self._going.discard(number)

    @asynccontextmanager
    async def _alone(self, namespace: str, name: str) -> AsyncIterator[None]:
        """One at a time for each name: who comes second finds what the first has made."""
        lock = self._busy.setdefault((namespace, name), asyncio.Lock())
        async with lock:
            yield


def _missing(connection: sqlite3.Connection, namespace: str, name: str) -> str:
    """What is missing, as the original says it: it looks through the levels that it has stored."""
    if connection.execute("SELECT 1 FROM sequences WHERE scope = ?", (SEQUENCE,)).fetchone() is None:
        return "missing v1 bucket"
    return f"missing mount {quote(name)} bucket"
