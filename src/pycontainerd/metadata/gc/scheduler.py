"""When to collect: soon after something was deleted, after many changes, when something expires, or when asked.

Beside the original's rules there is one: the expiry of a lease, an image or an ingest wakes the collector. And while
there is nothing to do, nothing wakes up here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, Protocol

from msgspec import Struct

from pycontainerd.clock import Clock
from pycontainerd.errors import Error, Unknown
from pycontainerd.measures import Histogram, Metric, Sample
from pycontainerd.metadata.database import Committed, Database
from pycontainerd.metadata.gc.collector import Stats
from pycontainerd.metadata.times import NS

_log: Final = logging.getLogger(__name__)

_FIRST_INTERVAL_S: Final = 1.0
_RETRY_S: Final = 1.0
_LEAST_PAUSE_S: Final = 0.005
_LONGEST_SLEEP_S: Final = 3_600.0
"""The wall clock may be set: how long an expiry is awaited without a look at it."""

_NEXT_EXPIRY: Final = "SELECT min(expires_ns) FROM objects WHERE expires_ns > ? AND root <> 0"


class Runs(Protocol):
    """What is scheduled."""

    async def run(self) -> Stats: ...


class Limits(Struct, frozen=True):
    """The configuration, clamped as the original does (metadata-gc.md §6). Times in seconds."""

    pause_threshold: float = 0.02
    deletion_threshold: int = 0
    mutation_threshold: int = 100
    schedule_delay_s: float = 0.0
    startup_delay_s: float = 0.1

    @classmethod
    def clamped(
        cls,
        *,
        pause_threshold: float,
        deletion_threshold: int,
        mutation_threshold: int,
        schedule_delay_s: float,
        startup_delay_s: float,
    ) -> Limits:
        return cls(
            min(max(pause_threshold, 0.0), 0.5),
            deletion_threshold,
            max(mutation_threshold, 0),
            max(schedule_delay_s, 0.0),
            max(startup_delay_s, 0.0),
        )


class Scheduler:
    """Runs the collector when it is due; `main` is its background task."""

    def __init__(self, collector: Runs, database: Database, clock: Clock, limits: Limits) -> None:
        self._collector = collector
        self._database = database
        self._clock = clock
        self._limits = limits
        self._wake = asyncio.Event()
        self._waiters: list[asyncio.Future[Stats]] = []
        self._deletions = 0
        self._mutations = 0
        self._expiry_ns: int | None = None
        self._due_at: float | None = None
        self._interval_s = _FIRST_INTERVAL_S
        self._pauses_s = 0.0
        self._runs = 0
        self._failures = 0
        self._durations = Histogram()
        if limits.startup_delay_s > 0:
            self._due_at = clock.monotonic() + limits.startup_delay_s
        database.listen(self._committed)

    def measures(self) -> Iterator[Metric]:
        """How often it collected, and how long that took."""
        counted = (("success", self._runs), ("fail", self._failures))
        samples = tuple(Sample(count, {"status": status}) for status, count in counted if count)
        yield Metric("containerd_gc_collections_total", "counter", "counter of gc scheduler collections", samples)
        about = "duration of gc scheduler collections"
        yield Metric("containerd_gc_gc_seconds", "histogram", about, self._durations.samples())

    async def collected(self) -> Stats:
        """Returns when a collection that began after this call has ended. Raises Unknown if it failed."""
        waiter: asyncio.Future[Stats] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._due_in(self._limits.schedule_delay_s)
        return await waiter

    def next_run_s(self) -> float | None:
        """Seconds until the next collection; None if only an event can bring it."""
        rests = []
        if self._due_at is not None:
            rests.append(self._due_at - self._clock.monotonic())
        if self._expiry_ns is not None:
            rests.append((self._expiry_ns - self._clock.now_ns()) / NS)
        return max(min(rests), 0.0) if rests else None

    async def main(self, sleep: Callable[[asyncio.Event, float | None], Awaitable[None]] | None = None) -> None:
        """Collects whenever it is due, for ever. *sleep* waits for an event, some seconds at most."""
        sleep = sleep or _sleep
        await self._learn_expiry()
        while True:
            await sleep(self._wake, self._rest_s())
            self._wake.clear()
            if self._is_due():
                await self._collect()

    def _committed(self, committed: Committed) -> None:
        self._mutations += committed.mutations
        self._deletions += 1 if committed.dirty else 0
        if committed.expiry_ns is not None and (self._expiry_ns is None or committed.expiry_ns < self._expiry_ns):
            self._expiry_ns = committed.expiry_ns
            self._wake.set()
        if self._is_needed():
            self._due_in(self._delay_s())

    def _is_needed(self) -> bool:
        limits = self._limits
        if self._deletions >= max(limits.deletion_threshold, 1):
            return True
        # With a threshold for deletions, fewer of them wait for the interval after the next reason to collect.
        return 0 < limits.mutation_threshold <= self._mutations

    def _delay_s(self) -> float:
        """At once if that many deletions ask for it, or nothing ran yet; else when the interval is over."""
        limits = self._limits
        if not self._runs or 0 < limits.deletion_threshold <= self._deletions:
            return limits.schedule_delay_s
        return max(self._interval_s, limits.schedule_delay_s)

    def _due_in(self, delay_s: float) -> None:
        due_at = self._clock.monotonic() + delay_s
        if self._due_at is None or due_at < self._due_at:
            self._due_at = due_at
            self._wake.set()

    def _rest_s(self) -> float | None:
        """Seconds until there may be something to do; None if only an event can bring it."""
        rest_s = self.next_run_s()
        if rest_s is None or self._expiry_ns is None:
            return rest_s
        return min(rest_s, _LONGEST_SLEEP_S)

    def _is_due(self) -> bool:
        if self._due_at is not None and self._due_at <= self._clock.monotonic():
            return True
        return self._expiry_ns is not None and self._expiry_ns <= self._clock.now_ns()

    async def _collect(self) -> None:
        waiters, self._waiters = self._waiters, []
        self._due_at = self._expiry_ns = None
        self._deletions = self._mutations = 0
        try:
            stats = await self._collector.run()
        except Exception:  # noqa: BLE001 - whatever it was, the next run may fare better
            _log.exception("garbage collection failed")
            self._failures += 1
            self._due_in(self._interval_s + _RETRY_S)
            _answer(waiters, None)
        else:
            self._learn(stats)
            _answer(waiters, stats)
        finally:
            for waiter in waiters:
                waiter.cancel()
        await self._learn_expiry()

    def _learn(self, stats: Stats) -> None:
        self._runs += 1
        self._pauses_s += stats.pause_s
        self._durations.observe(stats.pause_s)
        threshold = self._limits.pause_threshold
        if threshold > 0:
            mean_s = max(self._pauses_s / self._runs, _LEAST_PAUSE_S)
            self._interval_s = mean_s / threshold - mean_s
        if stats.spared:
            self._due_in(self._interval_s)
        if self._waiters:
            self._due_in(self._limits.schedule_delay_s)

    async def _learn_expiry(self) -> None:
        """What expires next; a commit that comes meanwhile may bring an earlier one."""
        now_ns = self._clock.now_ns()
        try:
            stored: int | None = await self._database.read(
                lambda connection: connection.execute(_NEXT_EXPIRY, (now_ns,)).fetchone()[0]
            )
        except Error as error:
            _log.warning("can't see what expires next: %s", error)
            return
        known = [expiry_ns for expiry_ns in (stored, self._expiry_ns) if expiry_ns is not None]
        self._expiry_ns = min(known, default=None)


def _answer(waiters: list[asyncio.Future[Stats]], stats: Stats | None) -> None:
    for waiter in waiters:
        if waiter.done():
            continue
        if stats is None:
            waiter.set_exception(Unknown("gc failed"))
        else:
            waiter.set_result(stats)


async def _sleep(event: asyncio.Event, seconds: float | None) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
