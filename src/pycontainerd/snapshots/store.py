"""The snapshots of each namespace over one snapshotter.

Every operation of the backend is enclosed: a row is reserved, which keeps the name and what the backend makes; the
backend works; the row becomes visible in the transaction in which the backend records its part. A crash leaves a
reserved row, which is dropped at the next start, and then what the backend made is taken by the collector.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct, structs

from pycontainerd import faults
from pycontainerd.api.containerd.events_pb2 import SnapshotCommit, SnapshotPrepare, SnapshotRemove
from pycontainerd.errors import AlreadyExists, Error, FailedPrecondition, InvalidArgument, NotFound, Unknown
from pycontainerd.metadata import fieldmask, filters, labels
from pycontainerd.metadata.filters.sql import Columns
from pycontainerd.metadata.listing import paged
from pycontainerd.metadata.transaction import Transaction
from pycontainerd.quoting import quote
from pycontainerd.snapshots import model
from pycontainerd.snapshots.model import Info, Mounts, Usage
from pycontainerd.snapshots.rows import Row, Rows, decode, merged

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from pycontainerd.metadata.database import Database
    from pycontainerd.snapshots.backend import Snapshotter

faults.declare("snapshots.reserved", "snapshots.collect.listed", "snapshots.remove.recorded")

_log: Final = logging.getLogger(__name__)


def _is_backends(path: Sequence[str]) -> bool:
    """Whether a backend may know what stands at *path*: the kind, and labels that it was told."""
    key = ".".join(path[1:])
    return path[0] == "kind" or (path[0] == "labels" and bool(model.for_backend({key: "x"})))


_COLUMNS: Final = Columns(
    {("name",): "objects.name", ("parent",): "snapshots.parent"},
    always=frozenset({"objects.name", "snapshots.parent"}),
    whole=True,
    opaque=_is_backends,
)
_COLUMNS_WITHOUT_LABELS: Final = structs.replace(_COLUMNS, opaque=lambda path: path[0] in ("kind", "labels"))


class Leases(Protocol):
    """What the snapshots need of the leases: names that live as long as a lease does."""

    def attach(self, tx: Transaction, namespace: str, lease: str, kind: str, name: str, /) -> None:
        """Raises NotFound if there is no such lease."""

    def detach(self, tx: Transaction, namespace: str, lease: str, kind: str, name: str, /) -> None:
        """Fine if there is no such lease, or if it doesn't hold the name."""


class Publisher(Protocol):
    """Where events go."""

    def publish(self, namespace: str, topic: str, event: Message, /) -> None: ...


class _Reserved(Struct, frozen=True):
    """A row in the making: what the backend is to make, on what."""

    id: int
    backend: str
    parent: str


class SnapshotStore:
    """All namespaces' snapshots of the snapshotter *name*."""

    def __init__(self, name: str, backend: Snapshotter, database: Database, leases: Leases, events: Publisher) -> None:
        self.name = name
        self.backend = backend
        self._database = database
        self._leases = leases
        self._events = events
        self._rows = Rows(name)
        self._adoption = asyncio.Lock()
        """Held while the backend's snapshot of nobody gets a row, or is removed."""
        self._stuck: set[str] = set()

    @property
    def capabilities(self) -> frozenset[str]:
        return self.backend.capabilities

    async def prepare(
        self,
        namespace: str,
        key: str,
        parent: str = "",
        said: Mapping[str, str] | None = None,
        *,
        view: bool = False,
        lease: str | None = None,
    ) -> Mounts:
        """Makes an active snapshot or a view on *parent* (empty: on nothing) and tells how to mount it.

        The *lease* holds it. Raises AlreadyExists if *key* is taken, or if what the label LABEL_TARGET names exists or
        is known to the backend: the lease then holds that. Raises NotFound or InvalidArgument for the parent.
        """
        said = dict(said or {})
        labels.validate(said, "info.Labels")
        target = said.get(model.LABEL_TARGET, "")
        reserved = await self._database.write(
            lambda tx: self._reserve(tx, namespace, key, parent=parent, target=target, said=said, lease=lease),
            what=f"prepare snapshot {key}",
        )
        if isinstance(reserved, AlreadyExists):
            raise reserved
        faults.reach("snapshots.reserved")

        def finish(tx: Transaction) -> None:
            self._rows.show(tx, reserved.id)
            if not view:
                event = SnapshotPrepare(key=key, parent=parent, snapshotter=self.name)
                tx.after_commit(lambda: self._events.publish(namespace, "/snapshot/prepare", event))

        async with self._undone_on_error(namespace, reserved, key, lease):
            try:
                return await self.backend.prepare(
                    reserved.backend, reserved.parent, model.for_backend(said), view=view, also=finish
                )
            except AlreadyExists as error:
                if not target:
                    raise Unknown(f"unexpected error from snapshotter: {error.wire_text()}") from error
                await self._adopt(namespace, target, reserved, parent=parent, said=said, lease=lease)
                raise AlreadyExists(f"target snapshot {quote(target)}") from None

    def _reserve(
        self,
        tx: Transaction,
        namespace: str,
        key: str,
        *,
        parent: str,
        target: str,
        said: Mapping[str, str],
        lease: str | None,
    ) -> _Reserved | AlreadyExists:
        """In the transaction. An error that is returned, not raised, leaves the lease with what is there."""
        if target and self._rows.find(tx.connection, namespace, target) is not None:
            self._hold(tx, namespace, lease, target)
            return AlreadyExists(f"target snapshot {quote(target)}")
        _check_name(key, lease)
        self._hold(tx, namespace, lease, key)
        if self._rows.find(tx.connection, namespace, key) is not None:
            return AlreadyExists(f"snapshot {quote(key)}")
        below = self._parent(tx, namespace, parent)
        backend = self._rows.next_backend(tx, namespace, key)
        id_ = self._rows.insert(tx, namespace, key, backend=backend, parent=parent, said=said, reserved=True)
        if id_ is None:
            return AlreadyExists(f"snapshot {quote(key)}")
        return _Reserved(id_, backend, below)

    async def _adopt(
        self,
        namespace: str,
        target: str,
        reserved: _Reserved,
        *,
        parent: str,
        said: Mapping[str, str],
        lease: str | None,
    ) -> None:
        """Gives the namespace the committed snapshot that the backend has for *target*."""
        async with self._adoption:
            backend = await self._find_target(namespace, target, reserved, parent)

            def record(tx: Transaction) -> None:
                self._hold(tx, namespace, lease, target)
                kept = {key: value for key, value in said.items() if key != model.LABEL_TARGET}
                self._rows.insert(tx, namespace, target, backend=backend, parent=parent, said=kept, reserved=False)

            await self._database.write(record, what=f"adopt snapshot {target}")

    async def _find_target(self, namespace: str, target: str, reserved: _Reserved, parent: str) -> str:
        """What the backend calls the committed snapshot that it has for *target*."""
        found = await self.backend.find_committed(model.LABEL_TARGET, target, namespace)
        if not found:
            raise NotFound(f"target snapshot {quote(target)} in backend")
        fitting = [info for info in found if info.parent == reserved.parent]
        if not fitting:
            raise InvalidArgument(f"target snapshot {quote(target)} has another parent than {quote(parent)}")
        return fitting[0].name

    async def commit(
        self,
        namespace: str,
        name: str,
        key: str,
        said: Mapping[str, str] | None = None,
        *,
        parent: str = "",
        lease: str | None = None,
    ) -> None:
        """Makes the active snapshot *key* the committed one *name*, with the labels *said* and no others.

        *parent* becomes the parent of a snapshot without one. Raises AlreadyExists, NotFound, FailedPrecondition.
        """
        said = dict(said or {})
        labels.validate(said, "info.Labels")
        reserved = await self._database.write(
            lambda tx: self._reserve_commit(tx, namespace, name, key, parent=parent, said=said, lease=lease),
            what=f"commit snapshot {key}",
        )
        if isinstance(reserved, AlreadyExists):
            raise reserved
        target, active = reserved
        faults.reach("snapshots.reserved")

        def finish(tx: Transaction) -> None:
            row = self._rows.find(tx.connection, namespace, key)
            if row is None or row.id != active.id:
                raise NotFound(f"snapshot {key} does not exist")
            self._rows.forget(tx, row.id)
            self._rows.show(tx, target.id)
            if lease is not None:
                self._leases.detach(tx, namespace, lease, self._rows.kind, key)
            event = SnapshotCommit(key=key, name=name, snapshotter=self.name)
            tx.after_commit(lambda: self._events.publish(namespace, "/snapshot/commit", event))

        async with self._undone_on_error(namespace, target, name, lease):
            await self.backend.commit(
                target.backend, active.backend, model.for_backend(said), parent=target.parent, also=finish
            )

    def _reserve_commit(
        self,
        tx: Transaction,
        namespace: str,
        name: str,
        key: str,
        *,
        parent: str,
        said: Mapping[str, str],
        lease: str | None,
    ) -> tuple[_Reserved, Row] | AlreadyExists:
        _check_name(name, lease)
        self._hold(tx, namespace, lease, name)
        if self._rows.find(tx.connection, namespace, name) is not None:
            return AlreadyExists(f"snapshot {quote(name)}")
        active = self._row(tx.connection, namespace, key)
        if active.parent:
            parent = active.parent
        below = self._parent(tx, namespace, parent)
        backend = self._rows.next_backend(tx, namespace, name)
        id_ = self._rows.insert(tx, namespace, name, backend=backend, parent=parent, said=said, reserved=True)
        if id_ is None:
            return AlreadyExists(f"snapshot {quote(name)}")
        return _Reserved(id_, backend, below), active

    async def remove(self, namespace: str, key: str, *, lease: str | None = None) -> None:
        """Takes *key* from the namespace. Raises NotFound, FailedPrecondition if it has children."""

        def forget(tx: Transaction) -> None:
            row = self._row(tx.connection, namespace, key)
            if self._rows.has_child(tx.connection, namespace, key):
                raise FailedPrecondition("cannot remove snapshot with child")
            self._rows.forget(tx, row.id)
            tx.dirtied(self._rows.kind)
            if lease is not None:
                self._leases.detach(tx, namespace, lease, self._rows.kind, key)
            event = SnapshotRemove(key=key, snapshotter=self.name)
            tx.after_commit(lambda: self._events.publish(namespace, "/snapshot/remove", event))

        await self._database.write(forget, what=f"remove snapshot {key}")
        faults.reach("snapshots.remove.recorded")

    async def stat(self, namespace: str, key: str) -> Info:
        """Raises NotFound."""
        with self._database.reading() as connection:
            row = self._row(connection, namespace, key)
            said = labels.read(connection, row.id)
        return _merged(row, said, await self.backend.stat(row.backend))

    async def update(self, namespace: str, key: str, said: Mapping[str, str], paths: Iterable[str] = ()) -> Info:
        """Changes the labels that *paths* name to what was *said*; without paths, all of them.

        Raises NotFound, InvalidArgument for another path or for labels that are too long.
        """
        if not key:
            raise InvalidArgument("")
        paths = list(paths)

        def change(tx: Transaction) -> tuple[Row, dict[str, str], dict[str, str]]:
            row = self._row(tx.connection, namespace, key)
            for path in paths:
                if path != "labels" and fieldmask.key_of(path, "labels") is None:
                    raise InvalidArgument(f"cannot update {quote(path)} field on snapshot {quote(key)}")
            before = labels.read(tx.connection, row.id)
            wanted = fieldmask.patched(before, said, paths)
            labels.validate(wanted, "info.Labels")
            return row, before, self._rows.relabel(tx, row, wanted)

        row, before, kept = await self._database.write(change, what=f"update snapshot {key}")
        if model.for_backend(kept) != model.for_backend(before):
            await self.backend.update(row.backend, model.for_backend(kept))
        return await self.stat(namespace, key)

    async def list_snapshots(self, namespace: str, filters_: Sequence[str] = ()) -> AsyncIterator[Sequence[Info]]:
        """The snapshots that pass one of the filters in the order of their names, up to listing.PAGE at a time."""
        async for wires in self.list_wire(namespace, filters_):
            yield [decode(wire) for wire in wires]

    async def list_wire(self, namespace: str, filters_: Sequence[str] = ()) -> AsyncIterator[Sequence[bytes]]:
        """Like `list_snapshots`, each snapshot as it is sent."""
        wanted = filters.compile(filters_)
        condition = wanted.where(_COLUMNS if self.backend.keeps_labels else _COLUMNS_WITHOUT_LABELS)

        def read(connection: sqlite3.Connection, after: str, count: int) -> Sequence[tuple[str, str, bytes]]:
            return self._rows.after(connection, namespace, after, count, condition)

        pages = paged(
            self._database, namespace, self._rows.kind, read, name=lambda row: row[0], scans=condition.is_selective
        )
        async for page in pages:
            known = await self.backend.infos([backend for _, backend, _ in page])
            # One that the backend lost, or that went just now, is left out.
            wires = [merged(wire, known[backend]) for _, backend, wire in page if backend in known]
            if not condition.exact:
                wires = [wire for wire in wires if wanted.matches(decode(wire))]
            if wires:
                yield wires

    async def usage(self, namespace: str, key: str) -> Usage:
        """What *key* takes of the disk without its parents. Raises NotFound."""
        return await self.backend.usage(self._backend_of(namespace, key))

    async def mounts(self, namespace: str, key: str) -> Mounts:
        """How to mount *key*. Raises NotFound, FailedPrecondition if it is committed."""
        return await self.backend.mounts(self._backend_of(namespace, key))

    async def collect(self) -> None:
        """Removes what the backend has and no row needs, children first, and frees the disk. For the collector."""
        self._stuck.clear()
        # The backend is asked first: what it makes later has a row before.
        keys = await self.backend.keys()
        faults.reach("snapshots.collect.listed")
        needed = await self._database.read(self._rows.backends)
        for key in keys:
            if key not in needed:
                await self._remove_unneeded(key)
        await _tried(self.backend.cleanup, f"clean up snapshotter {self.name}")

    async def collect_only(self, backends: Sequence[str]) -> None:
        """Like `collect`, of the backend's snapshots only *backends* and those that could not be removed before."""
        stuck, self._stuck = self._stuck, set()
        for key in await self.backend.keys(stuck.union(backends)):
            await self._remove_unneeded(key)
        await _tried(self.backend.cleanup, f"clean up snapshotter {self.name}")

    async def _remove_unneeded(self, key: str) -> None:
        async with self._adoption:
            if self._is_needed(key) or await _tried(partial(self.backend.remove, key), f"remove snapshot {key}"):
                return
            self._stuck.add(key)

    def _is_needed(self, backend: str) -> bool:
        with self._database.asking() as connection:
            return self._rows.needs(connection, backend)

    def _backend_of(self, namespace: str, key: str) -> str:
        """What the backend calls *key*. Raises NotFound."""
        with self._database.asking() as connection:
            return self._row(connection, namespace, key).backend

    def _row(self, connection: sqlite3.Connection, namespace: str, key: str) -> Row:
        """Raises NotFound."""
        row = self._rows.find(connection, namespace, key)
        if row is None:
            raise NotFound(f"snapshot {key} does not exist")
        return row

    def _parent(self, tx: Transaction, namespace: str, parent: str) -> str:
        """What the backend calls *parent*; empty for none."""
        if not parent:
            return ""
        row = self._rows.find(tx.connection, namespace, parent)
        if row is None:
            raise NotFound(f"parent snapshot {parent} does not exist")
        return row.backend

    def _hold(self, tx: Transaction, namespace: str, lease: str | None, name: str) -> None:
        if lease is not None:
            self._leases.attach(tx, namespace, lease, self._rows.kind, name)

    @asynccontextmanager
    async def _undone_on_error(
        self, namespace: str, reserved: _Reserved, name: str, lease: str | None
    ) -> AsyncIterator[None]:
        """Drops the reserved row, and the lease's hold on it, if the block fails.

        A caller that is cancelled while the last transaction commits comes too late: others see the snapshot, and may
        have built on it.
        """

        def undo(tx: Transaction) -> None:
            if self._rows.give_up(tx, reserved.id) and lease is not None:
                self._leases.detach(tx, namespace, lease, self._rows.kind, name)

        try:
            yield
        except BaseException:
            await self._database.write(undo, what=f"give up snapshot {name}")
            raise


async def _tried(work: Callable[[], Awaitable[None]], what: str) -> bool:
    """One that fails must not keep the others; the next collection tries again."""
    try:
        await work()
    except Error as error:
        _log.warning("failed to %s: %s", what, error)
        return False
    return True


def _merged(row: Row, said: Mapping[str, str], known: Info) -> Info:
    """The namespace's view of what the backend knows."""
    return Info(row.name, known.kind, row.parent, row.created_ns, row.updated_ns, {**known.labels, **said})


def _check_name(name: str, lease: str | None) -> None:
    if not name:
        raise Unknown("bucket name required" if lease is None else "key required")
