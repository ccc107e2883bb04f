"""One collection after the other, whoever asks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

from msgspec import Struct

from pycontainerd import faults
from pycontainerd.clock import Clock
from pycontainerd.errors import Error
from pycontainerd.metadata.database import Committed, Database
from pycontainerd.metadata.gc import watch
from pycontainerd.metadata.gc.mark import find_dying
from pycontainerd.metadata.gc.sweep import Removed, sweep

_log: Final = logging.getLogger(__name__)

faults.declare("gc.marked", "gc.batch", "gc.swept", "gc.collected")


class Collectable(Protocol):
    """A backend that keeps on disk what rows name.

    Rows come and go while it collects: it must make sure, under a lock that those who bring something take as well,
    that what it removes is named by no row at that moment.
    """

    async def collect(self) -> None:
        """Removes from the disk what no row names any more."""


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
        self._backends: list[tuple[Collectable, frozenset[str]]] = []
        self._dirty: set[str] = set()
        self._never_collected: set[Collectable] = set()
        database.listen(self._committed)

    def register(self, backend: Collectable, *kinds: str) -> None:
        """Calls *backend* in runs after which something of *kinds* is gone, in every run if none is named, and in
        the first run, as a crash may have left something on disk.
        """
        self._backends.append((backend, frozenset(kinds)))
        self._never_collected.add(backend)

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
        await database.write(watch.begin, what="begin to collect", quiet=True)
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
        dirty, self._dirty = self._dirty, set()
        async with asyncio.TaskGroup() as group:
            for backend, kinds in self._backends:
                if not kinds or not kinds.isdisjoint(dirty) or backend in self._never_collected:
                    group.create_task(self._collect_backend(backend, kinds), name="collect backend")

    async def _collect_backend(self, backend: Collectable, kinds: frozenset[str]) -> None:
        try:
            await backend.collect()
            self._never_collected.discard(backend)
        except Exception:  # noqa: BLE001 - one that fails must not keep the others from theirs
            # It is called again in the next run.
            _log.exception("failed to garbage collect %s", ", ".join(sorted(kinds)) or backend)
            self._never_collected.add(backend)
