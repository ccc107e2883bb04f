"""Snapshots of the built-in snapshotters: rows of clients, rows of the backend and directories, against each other."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from pycontainerd.checking.content import names
from pycontainerd.checking.model import Finding, Tally, What
from pycontainerd.metadata import kinds
from pycontainerd.snapshots import trees
from pycontainerd.system.mountinfo import read_mountinfo

_BACKEND: Final = "SELECT id, key FROM backend_snapshots WHERE snapshotter = ? AND reserved = 0 ORDER BY id"
_NAMES: Final = """
SELECT snapshots.backend, namespaces.name || ' ' || objects.name
FROM snapshots
JOIN objects ON objects.id = snapshots.id
JOIN objects AS namespaces ON namespaces.id = objects.namespace
WHERE snapshots.snapshotter = ? AND objects.reserved = 0
"""
_ABOVE: Final = """
WITH RECURSIVE above (id) AS (
    SELECT ?2
    UNION
    SELECT one.id FROM above JOIN backend_snapshots AS one ON one.snapshotter = ?1 AND one.parent = above.id
)
SELECT backend_snapshots.id, backend_snapshots.key
FROM above JOIN backend_snapshots ON backend_snapshots.snapshotter = ?1 AND backend_snapshots.id = above.id
ORDER BY backend_snapshots.id DESC
"""
_USERS: Final = """
SELECT namespaces.name || ' ' || objects.name
FROM containers
JOIN objects ON objects.id = containers.id
JOIN objects AS namespaces ON namespaces.id = objects.namespace
JOIN objects AS held ON held.namespace = objects.namespace AND held.name = containers.snapshot_key AND held.kind = ?3
JOIN snapshots ON snapshots.id = held.id
WHERE containers.snapshotter = ?1 AND snapshots.backend = ?2
"""
_FORGET_NAME: Final = "DELETE FROM objects WHERE id IN (SELECT id FROM snapshots WHERE snapshotter = ? AND backend = ?)"
_FORGET: Final = "DELETE FROM backend_snapshots WHERE snapshotter = ? AND id = ?"


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The snapshots of one built-in snapshotter *name* below *root*."""

    name: str
    root: Path
    connection: sqlite3.Connection

    def check(self, tally: Tally) -> Iterator[Finding]:
        recorded: dict[int, str] = dict(self.connection.execute(_BACKEND, (self.name,)).fetchall())
        named: dict[str, str] = dict(self.connection.execute(_NAMES, (self.name,)).fetchall())
        directories = set(names(self._parent))
        tally.snapshots += len(recorded)
        for number, key in recorded.items():
            if str(number) not in directories:
                yield self._missing(number, named.get(key, key))
            elif key not in named:
                yield self._unnamed(number, key, named)
        for key in sorted(named.keys() - set(recorded.values())):
            mend = partial(self._execute, _FORGET_NAME, key)
            yield Finding(What.MISSING_SNAPSHOT, self._title(named[key]), "the snapshotter does not know it", 0, mend)
        for directory in sorted(directories - set(map(str, recorded))):
            if _is_ours(directory):
                yield self._orphaned(directory)

    def _missing(self, number: int, name: str) -> Finding:
        """Its directory is gone, and with it all that stands on it."""
        above = self.connection.execute(_ABOVE, (self.name, number)).fetchall()
        users = [user for _, key in above for user in self._users(key)]
        reason = f"its directory {self._parent / str(number)} is gone"
        if users:
            return Finding(What.MISSING_SNAPSHOT, self._title(name), f"{reason}; in use by {', '.join(users)}")
        if len(above) > 1:
            reason += f", {len(above) - 1} snapshots stand on it"
        return Finding(What.MISSING_SNAPSHOT, self._title(name), reason, 0, partial(self._drop, above))

    def _unnamed(self, number: int, key: str, named: dict[str, str]) -> Finding:
        above = self.connection.execute(_ABOVE, (self.name, number)).fetchall()
        size = trees.usage(str(self._parent / str(number))).size
        reason = f"directory {number}, no namespace has it"
        held = [named[other] for _, other in above if other in named]
        if held:
            return Finding(What.UNNAMED_SNAPSHOT, self._title(key), f"{reason}, but {held[0]} stands on it", size)
        return Finding(What.UNNAMED_SNAPSHOT, self._title(key), reason, size, partial(self._drop, above))

    def _orphaned(self, directory: str) -> Finding:
        path = self._parent / directory
        size = trees.usage(str(path)).size
        users = [info.mount_point for info in read_mountinfo() if _uses(info.super_options + info.root, path)]
        if users:
            reason = f"no row names it, but it is mounted at {', '.join(users)}"
            return Finding(What.ORPHANED_SNAPSHOT, self._title(directory), reason, size)
        mend = partial(trees.remove, str(path))
        return Finding(What.ORPHANED_SNAPSHOT, self._title(directory), "no row names this directory", size, mend)

    def _users(self, key: str) -> list[str]:
        return [user for (user,) in self.connection.execute(_USERS, (self.name, key, kinds.snapshots(self.name)))]

    def _drop(self, snapshots: list[tuple[int, str]]) -> None:
        """Rows first, those that stand on others before them; then the directories."""
        for number, key in snapshots:
            self._execute(_FORGET_NAME, key)
            self._execute(_FORGET, number)
        for number, _ in snapshots:
            trees.remove(str(self._parent / str(number)))

    def _execute(self, sql: str, argument: object) -> None:
        self.connection.execute(sql, (self.name, argument))

    def _title(self, name: str) -> str:
        return f"{self.name} {name}"

    @property
    def _parent(self) -> Path:
        return self.root / "snapshots"


def _is_ours(directory: str) -> bool:
    return (directory.isascii() and directory.isdecimal()) or directory.startswith(("new-", "rm-"))


def _uses(options: str, path: Path) -> bool:
    """Whether a mount names *path*: among overlay's directories, or as the root of a bind mount."""
    return any(f"{path}/{part}" in options for part in ("fs", "work")) or options.endswith(str(path))
