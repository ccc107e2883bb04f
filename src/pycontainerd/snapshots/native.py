"""native: every active snapshot is a whole copy of its parent, for file systems and kernels without overlay.

snapshots/<number>/     0755, the files; of a view on a parent nothing, since the parent itself is shown
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pycontainerd.mounts.model import Mount
from pycontainerd.snapshots.directories import Directories, make_exactly
from pycontainerd.snapshots.local import LocalSnapshotter
from pycontainerd.snapshots.model import Info, Kind, Mounts
from pycontainerd.snapshots.records import Record, Records
from pycontainerd.snapshots.tree_work import Trees
from pycontainerd.spawner.aio import Spawner
from pycontainerd.threads import Threads


class NativeLayout:
    """One directory a snapshot."""

    def __init__(self, directories: Directories) -> None:
        self._directories = directories

    def source(self, kind: Kind, parents: Sequence[int]) -> str | None:
        return self._directories.path(parents[0]) if parents and kind is Kind.ACTIVE else None

    def fill(self, directory: str, kind: Kind, parents: Sequence[int], labels: Mapping[str, str]) -> None:
        make_exactly(directory, 0o755)

    def mounts(self, record: Record, chain: Sequence[int]) -> Mounts:
        view = record.info.kind is Kind.VIEW
        shown = chain[1] if view and len(chain) > 1 else chain[0]
        return (Mount("bind", self._directories.path(shown), "", ("rbind", "ro" if view else "rw")),)

    def measured(self, number: int) -> str:
        return self._directories.path(number)

    def shown(self, record: Record) -> Info:
        return record.info


class NativeWords:
    """How the original's native snapshotter begins its messages."""

    mounts = "failed to get snapshot mount"

    def commit(self, key: str) -> str:
        return "failed to commit snapshot"


def native(root: Path, threads: Threads, *, spawner: Spawner | None = None) -> LocalSnapshotter:
    """The snapshotter below *root*."""
    trees = Trees(threads, spawner)
    directories = Directories(root, threads, trees)
    return LocalSnapshotter(
        NativeLayout(directories),
        NativeWords(),
        records=Records("native"),
        directories=directories,
        threads=threads,
        trees=trees,
        capabilities=frozenset(),
        removes_at_once=True,
    )
