"""What the built-in snapshotters do alike: rows and numbered directories, in the order that a crash allows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from pycontainerd import faults
from pycontainerd.disk import translated
from pycontainerd.errors import FailedPrecondition, InvalidArgument
from pycontainerd.metadata.database import Database
from pycontainerd.metadata.transaction import Transaction
from pycontainerd.snapshots.backend import Also
from pycontainerd.snapshots.directories import Directories
from pycontainerd.snapshots.model import Info, Kind, Mounts, Usage
from pycontainerd.snapshots.records import Record, Records
from pycontainerd.snapshots.tree_work import Trees
from pycontainerd.system.syncfs import syncfs
from pycontainerd.threads import Threads

faults.declare(
    "snapshots.prepare.recorded",
    "snapshots.commit.synced",
    "snapshots.commit.recorded",
    "snapshots.remove.forgotten",
)


class Layout(Protocol):
    """How one snapshotter lays a snapshot into its directory."""

    def source(self, kind: Kind, parents: Sequence[int]) -> str | None:
        """The tree that a new snapshot begins as a copy of, None if `fill` makes it."""

    def fill(self, directory: str, kind: Kind, parents: Sequence[int], labels: Mapping[str, str]) -> None:
        """Makes *directory* for a new snapshot. Blocks."""

    def mounts(self, record: Record, chain: Sequence[int]) -> Mounts:
        """How to see an active snapshot or a view; *chain* is its own number and those of its parents."""

    def measured(self, number: int) -> str:
        """The directory whose tree is what the snapshot takes of the disk."""

    def shown(self, record: Record) -> Info:
        """The snapshot as clients see it."""


class Words(Protocol):
    """The beginnings of messages, in which the original's snapshotters differ."""

    def commit(self, key: str) -> str: ...

    @property
    def mounts(self) -> str: ...


class LocalSnapshotter:
    """A backend over a layout; see `backend.Snapshotter` for what its methods promise."""

    def __init__(
        self,
        layout: Layout,
        words: Words,
        *,
        records: Records,
        directories: Directories,
        threads: Threads,
        trees: Trees,
        capabilities: frozenset[str],
        removes_at_once: bool,
    ) -> None:
        self.capabilities = capabilities
        self.keeps_labels = True
        self._layout = layout
        self._words = words
        self._records = records
        self._directories = directories
        self._threads = threads
        self._trees = trees
        self._removes_at_once = removes_at_once

    def bind(self, database: Database) -> None:
        self._records.bind(database, self._directories.highest())

    async def stat(self, key: str) -> Info:
        return self._layout.shown(self._records.get(key))

    async def infos(self, keys: Sequence[str]) -> Mapping[str, Info]:
        return {key: self._layout.shown(record) for key, record in self._records.get_some(keys).items()}

    async def keys(self, among: Collection[str] | None = None) -> Sequence[str]:
        return await self._records.keys(among)

    async def find_committed(self, label: str, value: str, namespace: str) -> Sequence[Info]:
        return await self._records.find_committed(label, value)

    async def update(self, key: str, labels: Mapping[str, str]) -> Info:
        await self._records.database.write(lambda tx: self._records.update(tx, key, labels), what=f"update {key}")
        return await self.stat(key)

    async def usage(self, key: str) -> Usage:
        record = self._records.get(key)
        if record.info.kind is Kind.ACTIVE:
            return await self._measured(record.id)
        return record.usage

    async def mounts(self, key: str) -> Mounts:
        record = self._records.get(key)
        if record.info.kind is Kind.COMMITTED:
            raise FailedPrecondition(f"{self._words.mounts}: requested snapshot {key} not active or view")
        return self._layout.mounts(record, self._records.chain(key))

    async def prepare(
        self, key: str, parent: str, labels: Mapping[str, str], *, view: bool = False, also: Also | None = None
    ) -> Mounts:
        kind = Kind.VIEW if view else Kind.ACTIVE
        with _within("failed to create snapshot"):
            self._records.check_new(key, parent)
        parents = self._records.chain(parent) if parent else []
        number = self._records.new_id()

        def fill(directory: str) -> None:
            self._layout.fill(directory, kind, parents, labels)

        async with self._directories.making(number, fill, source=self._layout.source(kind, parents)) as made:

            def record(tx: Transaction) -> None:
                with _within("failed to create snapshot"):
                    self._records.insert(tx, number, key, kind=kind, parent=parent, labels=labels)
                tx.after_commit(made.keep)
                if also is not None:
                    also(tx)

            await self._records.database.write(record, what=f"prepare snapshot {key}")
        faults.reach("snapshots.prepare.recorded")
        return await self.mounts(key)

    async def commit(
        self, name: str, key: str, labels: Mapping[str, str], *, parent: str = "", also: Also | None = None
    ) -> None:
        context = self._words.commit(key)
        with _within(context):
            number = self._records.check_commit(name, key, parent).id
        # To the disk first: no power cut may leave empty files in a committed snapshot.
        await self._threads.run(syncfs, self._layout.measured(number))
        usage = await self._measured(number)
        faults.reach("snapshots.commit.synced")

        def record(tx: Transaction) -> None:
            with _within(context):
                self._records.commit(tx, name, key, parent=parent, labels=labels, usage=usage)
            if also is not None:
                also(tx)

        await self._records.database.write(record, what=f"commit snapshot {key}")
        faults.reach("snapshots.commit.recorded")

    async def remove(self, key: str) -> None:
        number = await self._records.database.write(
            lambda tx: self._records.remove(tx, key), what=f"remove snapshot {key}"
        )
        faults.reach("snapshots.remove.forgotten")
        if self._removes_at_once:
            await self._directories.remove(number)
        else:
            self._directories.forgotten.add(number)

    async def _measured(self, number: int) -> Usage:
        path = self._layout.measured(number)
        with translated(f"measure snapshot {path}"):
            return await self._trees.usage(path)

    async def cleanup(self) -> None:
        await self._directories.sweep(self._records.ids)


@contextmanager
def _within(context: str) -> Iterator[None]:
    """Puts *context* before the message of a refusal that is raised inside."""
    try:
        yield
    except (FailedPrecondition, InvalidArgument) as error:
        raise error.within(context) from None
