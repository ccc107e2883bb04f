"""One collection after the other, whoever asks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

from msgspec import Struct

from pycontainerd import faults
from pycontainerd.clock import Clock
from pycontainerd.errors import Error
from pycontainerd.metadata.database import Committed, Database
from pycontainerd.metadata.gc import freed, watch
from pycontainerd.metadata.gc.mark import find_dying
from pycontainerd.metadata.gc.sweep import Removed, sweep
from pycontainerd.metadata.transaction import Transaction

_log: Final = logging.getLogger(__name__)

faults.declare("gc.marked", "gc.batch", "gc.swept", "gc.collected")


class Collectable(Protocol):
    """A backend that keeps on disk what rows name.

    Rows come and go while it collects: it must make sure, under a lock that those who bring something take as well,
    that what it removes is named by no row at that moment.
    """

    async def collect(self) -> None:
        """Removes from the disk what no row names any more."""


class _Backend(Struct, eq=False):
    """What is registered. *left* is what it has still to look at; None for all that it has."""

    collect: Callable[[], Awaitable[None]]
    kinds: frozenset[str]
    only: Callable[[Sequence[str]], Awaitable[None]] | None
    left: list[str] | None = None


class Stats(Struct, frozen=True):
    """What a run did. *pause_s* is what the original calls the pause: mark and sweep, in seconds."""

    pause_s: float
    removed: int
    spared: int
    """Objects that became needed while the run went on; some may only seem so, and go in the next run."""


class Collector:
    """Collects the database and the backends that are registered. *tell* hears of each removed object."""

    def __init__(self, database: Database, clock: Clock, tell: Callable[[Removed], None] = lambda _: None) -> None:
        self._database = database
        self._clock = clock
        self._tell = tell
        self._lock = asyncio.Lock()
        self._backends: list[_Backend] = []
        self._dirty: set[str] = set()
        database.listen(self._committed)

    def register(
        self, backend: Collectable, *kinds: str, only: Callable[[Sequence[str]], Awaitable[None]] | None = None
    ) -> None:
        """Calls *backend* in runs after which something of *kinds* is gone, in every run if none is named, and in
        the first run, as a crash may have left something on disk.

        In later runs *only*, if it is given, is called in its place, with what the backend calls that of which a row
        of *kinds* went since the last run: nothing else can have become garbage. (See `freed` for the kinds.)
        """
        self._backends.append(_Backend(backend.collect, frozenset(kinds), only))

    async def run(self) -> Stats:
        """One collection. What a backend fails at is logged, and tried again in the next run."""
        async with self._lock:
            began = self._clock.monotonic()
            removed, spared = await self._collect_database()
            pause_s = self._clock.monotonic() - began
            await self._collect_backends()
            faults.reach("gc.collected")
            _log.debug("garbage collected", extra={"fields": {"d": f"{pause_s:.6f}s", "removed": removed}})
            return Stats(pause_s, removed, spared)

    def _committed(self, committed: Committed) -> None:
        self._dirty |= committed.dirty

    async def _collect_database(self) -> tuple[int, int]:
        """Deletes what nothing needs. Returns how many were removed and how many spared."""
        database, now_ns = self._database, self._clock.now_ns()
        await database.write(_begin, what="begin to collect", quiet=True)
        try:
            dying = await database.read(lambda connection: find_dying(connection, now_ns))
            faults.reach("gc.marked")
            found, removed = len(dying.ids), 0
            for batch in dying.batches:
                gone = await database.write(partial(sweep, dying=dying, batch=batch), what="collect", quiet=True)
                removed += len(gone)
                faults.reach("gc.batch")
                self._told(gone)
            faults.reach("gc.swept")
            return removed, found - removed
        finally:
            with suppress(Error):
                await database.write(watch.end, what="end to collect", quiet=True)

    def _told(self, gone: list[Removed]) -> None:
        for each in gone:
            self._dirty.add(each.kind)
            self._tell(each)

    async def _collect_backends(self) -> None:
        names = await self._database.write(freed.take, what="learn what was freed", quiet=True)
        dirty, self._dirty = self._dirty, set()
        async with asyncio.TaskGroup() as group:
            for backend in self._backends:
                if backend.left is not None:
                    backend.left += [name for kind in backend.kinds for name in names.get(kind, ())]
                if not backend.kinds or backend.left is None or backend.left or not backend.kinds.isdisjoint(dirty):
                    group.create_task(self._collect_backend(backend), name="collect backend")

    async def _collect_backend(self, backend: _Backend) -> None:
        left, backend.left = backend.left, None  # until it is done
        try:
            if left is None or backend.only is None:
                await backend.collect()
            else:
                await backend.only(left)
            backend.left = []
        except Exception:  # noqa: BLE001 - one that fails must not keep the others from theirs
            # It is called again in the next run, and looks at all.
            _log.exception("failed to garbage collect %s", ", ".join(sorted(backend.kinds)) or backend.collect)


def _begin(tx: Transaction) -> None:
    watch.begin(tx)
    freed.begin(tx)
