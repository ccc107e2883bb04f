"""The seam behind which snapshotters differ."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from pycontainerd.metadata.database import Database
from pycontainerd.metadata.transaction import Transaction
from pycontainerd.snapshots.model import Info, Mounts, Usage

Also = Callable[[Transaction], None]
"""What is to be recorded together with the operation; see `Snapshotter.prepare`."""


class Snapshotter(Protocol):
    """A backend. Keys are unique among active, viewed and committed snapshots alike.

    A lost key raises NotFound, a taken one AlreadyExists.
    """

    capabilities: frozenset[str]
    keeps_labels: bool
    """It shows no labels but those that it was told, and such as begin with LABEL_PREFIX."""

    def bind(self, database: Database) -> None:
        """Names the database, in which also the records of built-in backends lie; it is opened after they were
        configured. Called once, before anything else.
        """

    async def stat(self, key: str) -> Info: ...

    async def infos(self, keys: Sequence[str]) -> Mapping[str, Info]:
        """Those of *keys* that exist."""

    async def keys(self, among: Collection[str] | None = None) -> Sequence[str]:
        """All keys, or those of *among* that exist, children before their parents."""

    async def find_committed(self, label: str, value: str, namespace: str) -> Sequence[Info]:
        """The committed snapshots that carry a label. *namespace* asks; a backend that knows none shows all."""

    async def update(self, key: str, labels: Mapping[str, str]) -> Info:
        """Replaces the labels."""

    async def usage(self, key: str) -> Usage:
        """Of an active snapshot as it is now, of a committed one as it was committed."""

    async def mounts(self, key: str) -> Mounts:
        """Raises FailedPrecondition for a committed one."""

    async def prepare(
        self, key: str, parent: str, labels: Mapping[str, str], *, view: bool = False, also: Also | None = None
    ) -> Mounts:
        """Makes an active snapshot or a view on the committed *parent*, or on nothing.

        *also* is run in the transaction that makes it visible, or in one right after it where the backend keeps its
        records elsewhere: both or none, as far as that can be. Raises NotFound or InvalidArgument for the parent.
        """

    async def commit(
        self, name: str, key: str, labels: Mapping[str, str], *, parent: str = "", also: Also | None = None
    ) -> None:
        """Makes the active snapshot *key* the committed one *name*, with these labels and no others.

        *parent* becomes the parent of one that has none (capability rebase). Raises FailedPrecondition if *key* is not
        active or *parent* not committed.
        """

    async def remove(self, key: str) -> None:
        """Raises FailedPrecondition if it has children. Disk space may come back with `cleanup` only."""

    async def cleanup(self) -> None:
        """Frees what removed snapshots and crashes left on disk."""
