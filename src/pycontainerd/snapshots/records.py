"""What a built-in backend knows of its directories: rows of the metadata database.

An id names a directory and is never given twice. It is taken before the directory is made and recorded with the row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from pycontainerd.errors import AlreadyExists, FailedPrecondition, Internal, InvalidArgument, NotFound
from pycontainerd.metadata.database import Database
from pycontainerd.metadata.transaction import Transaction
from pycontainerd.snapshots.model import Info, Kind, Usage

_COLUMNS_FROM: Final = """
SELECT one.id, one.key, one.kind, coalesce(parents.key, ''), one.created_ns, one.updated_ns, one.size, one.inodes
FROM backend_snapshots AS one
LEFT JOIN backend_snapshots AS parents ON parents.snapshotter = one.snapshotter AND parents.id = one.parent
"""
_ONE: Final = _COLUMNS_FROM + "WHERE one.snapshotter = ? AND one.key = ?"
_SOME_KEYS: Final = 100
_SOME: Final = f"{_COLUMNS_FROM} WHERE one.snapshotter = ? AND one.key IN ({', '.join('?' * _SOME_KEYS)})"
_LABELS_OF_SOME: Final = """
SELECT id, key, value FROM backend_labels WHERE snapshotter = ? AND id IN (SELECT value FROM json_each(?))
ORDER BY id, key
"""
_CHAIN: Final = """
WITH RECURSIVE chain (id, parent, depth) AS (
    SELECT id, parent, 0 FROM backend_snapshots WHERE snapshotter = ?1 AND key = ?2
    UNION ALL
    SELECT next.id, next.parent, chain.depth + 1
    FROM chain JOIN backend_snapshots AS next ON next.snapshotter = ?1 AND next.id = chain.parent
)
SELECT id FROM chain ORDER BY depth
"""
_KEYS: Final = "SELECT key FROM backend_snapshots WHERE snapshotter = ? ORDER BY id DESC"
_KEYS_AMONG: Final = """
SELECT key FROM backend_snapshots WHERE snapshotter = ? AND key IN (SELECT value FROM json_each(?)) ORDER BY id DESC
"""
_LABELLED: Final = (
    _COLUMNS_FROM
    + """
JOIN backend_labels ON backend_labels.snapshotter = one.snapshotter AND backend_labels.id = one.id
WHERE one.snapshotter = ? AND one.kind = 3 AND backend_labels.key = ? AND backend_labels.value = ?
ORDER BY one.key
"""
)


class Record(Struct, frozen=True):
    """One row: the directory *id* and what is known of it."""

    id: int
    info: Info
    usage: Usage


class Records:
    """The rows of one snapshotter."""

    def __init__(self, snapshotter: str) -> None:
        self._snapshotter = snapshotter
        self._database: Database | None = None
        self._last = 0

    def bind(self, database: Database, lowest: int) -> None:
        """Uses *database*; ids begin above *lowest*, the largest number that a directory has."""
        self._database = database
        with database.reading() as connection:
            row = connection.execute(
                "SELECT coalesce(max(id), 0) FROM backend_snapshots WHERE snapshotter = ?", (self._snapshotter,)
            ).fetchone()
            given = connection.execute(
                "SELECT last FROM sequences WHERE scope = ? AND namespace = ''", (self._scope,)
            ).fetchone()
        self._last = max(lowest, row[0], given[0] if given else 0)

    @property
    def database(self) -> Database:
        if self._database is None:
            raise Internal(f"snapshotter {self._snapshotter} has no database")
        return self._database

    @property
    def _scope(self) -> str:
        return f"backend/{self._snapshotter}"

    def new_id(self) -> int:
        """A number for a new directory."""
        self._last += 1
        return self._last

    def get(self, key: str) -> Record:
        """Raises NotFound."""
        with self.database.reading() as connection:
            return self._get(connection, key)

    def get_some(self, keys: Sequence[str]) -> dict[str, Record]:
        """Those of *keys* that exist."""
        rows: list[tuple[Any, ...]] = []
        with self.database.reading() as connection:
            for start in range(0, len(keys), _SOME_KEYS):
                some = keys[start : start + _SOME_KEYS]
                # No key is empty, so that the rest of the places finds nothing.
                places = (self._snapshotter, *some, *("",) * (_SOME_KEYS - len(some)))
                rows += connection.execute(_SOME, places)
            ids = msgspec.json.encode([row[0] for row in rows]).decode()
            labels: dict[int, dict[str, str]] = {}
            for id_, key, value in connection.execute(_LABELS_OF_SOME, (self._snapshotter, ids)):
                labels.setdefault(id_, {})[key] = value
        return {row[1]: _record(row, labels.get(row[0], {})) for row in rows}

    def chain(self, key: str) -> list[int]:
        """The ids of *key*, its parent, and so on, nearest first. Empty if there is no such key."""
        with self.database.asking() as connection:
            return [id_ for (id_,) in connection.execute(_CHAIN, (self._snapshotter, key))]

    async def keys(self, among: Collection[str] | None = None) -> list[str]:
        """All keys, or those of *among* that exist, children before their parents: a parent is always the older."""

        def read(connection: sqlite3.Connection) -> list[str]:
            if among is None:
                return [key for (key,) in connection.execute(_KEYS, (self._snapshotter,))]
            names = msgspec.json.encode(sorted(among)).decode()
            return [key for (key,) in connection.execute(_KEYS_AMONG, (self._snapshotter, names))]

        return await self.database.read(read)

    async def ids(self) -> set[int]:
        """The numbers of all directories that rows name."""

        def read(connection: sqlite3.Connection) -> set[int]:
            sql = "SELECT id FROM backend_snapshots WHERE snapshotter = ?"
            return {id_ for (id_,) in connection.execute(sql, (self._snapshotter,))}

        return await self.database.read(read)

    async def find_committed(self, label: str, value: str) -> list[Info]:
        """The committed snapshots that carry a label."""

        def read(connection: sqlite3.Connection) -> list[Info]:
            rows = connection.execute(_LABELLED, (self._snapshotter, label, value)).fetchall()
            return [self._record(connection, row).info for row in rows]

        return await self.database.read(read)

    def check_new(self, key: str, parent: str) -> None:
        """Raises AlreadyExists if *key* is taken, NotFound or InvalidArgument if nothing can grow on *parent*."""
        with self.database.reading() as connection:
            self._check_free(connection, key)
            self._parent_id(connection, parent, InvalidArgument, f'parent "{parent}" is not committed snapshot')

    def insert(
        self, tx: Transaction, id_: int, key: str, *, kind: Kind, parent: str, labels: Mapping[str, str]
    ) -> None:
        """Records the directory *id_*; raises as `check_new`."""
        self._check_free(tx.connection, key)
        parent_id = self._parent_id(
            tx.connection, parent, InvalidArgument, f'parent "{parent}" is not committed snapshot'
        )
        tx.execute(
            "INSERT INTO backend_snapshots (snapshotter, id, key, kind, parent, created_ns, updated_ns)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (self._snapshotter, id_, key, int(kind), parent_id, tx.now_ns, tx.now_ns),
        )
        tx.execute(
            "INSERT INTO sequences (scope, namespace, last) VALUES (?, '', ?)"
            " ON CONFLICT (scope, namespace) DO UPDATE SET last = max(last, excluded.last)",
            (self._scope, id_),
        )
        self._set_labels(tx, id_, labels)

    def check_commit(self, name: str, key: str, parent: str) -> Record:
        """The active snapshot *key*, if it can be committed as *name*; see `commit`."""
        with self.database.reading() as connection:
            return self._committable(connection, name, key, parent)[0]

    def commit(
        self, tx: Transaction, name: str, key: str, *, parent: str, labels: Mapping[str, str], usage: Usage
    ) -> None:
        """Makes the active snapshot *key* the committed one *name*; *parent* counts if it has none.

        Raises NotFound, AlreadyExists, FailedPrecondition.
        """
        record, parent_id = self._committable(tx.connection, name, key, parent)
        tx.execute(
            "UPDATE backend_snapshots SET key = ?, kind = ?, created_ns = ?, updated_ns = ?, size = ?, inodes = ?,"
            " parent = coalesce(parent, ?) WHERE snapshotter = ? AND id = ?",
            (
                name,
                int(Kind.COMMITTED),
                tx.now_ns,
                tx.now_ns,
                usage.size,
                usage.inodes,
                parent_id,
                self._snapshotter,
                record.id,
            ),
        )
        self._set_labels(tx, record.id, labels)

    def update(self, tx: Transaction, key: str, labels: Mapping[str, str]) -> Info:
        """Replaces the labels. Raises NotFound."""
        record = self._get(tx.connection, key)
        tx.execute(
            "UPDATE backend_snapshots SET updated_ns = ? WHERE snapshotter = ? AND id = ?",
            (tx.now_ns, self._snapshotter, record.id),
        )
        self._set_labels(tx, record.id, labels)
        return self._get(tx.connection, key).info

    def remove(self, tx: Transaction, key: str) -> int:
        """Forgets *key* and returns the number of its directory. Raises NotFound, FailedPrecondition."""
        record = self._get(tx.connection, key)
        child = tx.execute(
            "SELECT 1 FROM backend_snapshots WHERE snapshotter = ? AND parent = ? LIMIT 1",
            (self._snapshotter, record.id),
        ).fetchone()
        if child is not None:
            raise FailedPrecondition("cannot remove snapshot with child")
        tx.execute("DELETE FROM backend_snapshots WHERE snapshotter = ? AND id = ?", (self._snapshotter, record.id))
        return record.id

    def _committable(
        self, connection: sqlite3.Connection, name: str, key: str, parent: str
    ) -> tuple[Record, int | None]:
        record = self._get(connection, key)
        if record.info.kind is not Kind.ACTIVE:
            raise FailedPrecondition(f'snapshot "{key}" is not active')
        self._check_free(connection, name)
        if not parent or record.info.parent:
            return record, None
        return record, self._parent_id(connection, parent, FailedPrecondition, f'parent "{parent}" is not committed')

    def _parent_id(
        self,
        connection: sqlite3.Connection,
        parent: str,
        kind: type[InvalidArgument] | type[FailedPrecondition],
        refusal: str,
    ) -> int | None:
        if not parent:
            return None
        row = connection.execute(
            "SELECT id, kind FROM backend_snapshots WHERE snapshotter = ? AND key = ?", (self._snapshotter, parent)
        ).fetchone()
        if row is None:
            raise NotFound(f"parent snapshot {parent} does not exist")
        if row[1] != Kind.COMMITTED:
            raise kind(refusal)
        return int(row[0])

    def _check_free(self, connection: sqlite3.Connection, key: str) -> None:
        sql = "SELECT 1 FROM backend_snapshots WHERE snapshotter = ? AND key = ?"
        if connection.execute(sql, (self._snapshotter, key)).fetchone() is not None:
            raise AlreadyExists(f'snapshot "{key}"')

    def _get(self, connection: sqlite3.Connection, key: str) -> Record:
        row = connection.execute(_ONE, (self._snapshotter, key)).fetchone()
        if row is None:
            raise NotFound(f"snapshot {key} does not exist")
        return self._record(connection, row)

    def _record(self, connection: sqlite3.Connection, row: Sequence[int | str]) -> Record:
        labels = connection.execute(
            "SELECT key, value FROM backend_labels WHERE snapshotter = ? AND id = ? ORDER BY key",
            (self._snapshotter, row[0]),
        ).fetchall()
        return _record(row, dict(labels))

    def _set_labels(self, tx: Transaction, id_: int, labels: Mapping[str, str]) -> None:
        tx.execute("DELETE FROM backend_labels WHERE snapshotter = ? AND id = ?", (self._snapshotter, id_))
        rows: Iterable[tuple[str, int, str, str]] = (
            (self._snapshotter, id_, key, value) for key, value in labels.items() if value
        )
        tx.connection.executemany("INSERT INTO backend_labels (snapshotter, id, key, value) VALUES (?, ?, ?, ?)", rows)


def _record(row: Sequence[Any], labels: Mapping[str, str]) -> Record:
    id_, key, kind, parent, created_ns, updated_ns, size, inodes = row
    return Record(id_, Info(key, _KINDS[kind], parent, created_ns, updated_ns, labels), Usage(size, inodes))


_KINDS: Final = {kind.value: kind for kind in Kind}
"""Calling the enumeration takes a microsecond, which a listing of thousands feels."""
