"""When the collector runs: with a clock that is turned by hand, and a sleep that ends when the test says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pycontainerd.errors import Unknown
from pycontainerd.metadata import kinds, objects
from pycontainerd.metadata.database import Database
from pycontainerd.metadata.gc.collector import Stats
from pycontainerd.metadata.gc.scheduler import Limits, Scheduler
from pycontainerd.metadata.references import ROOT_WHOLE
from pycontainerd.metadata.transaction import Transaction
from tests.harness.clocks import NS, START_NS, ManualClock

NO_START = Limits(startup_delay_s=0.0)


class Runs:
    """Counts runs in the place of the collector."""

    def __init__(self) -> None:
        self.count = 0
        self.pause_s = 0.0
        self.spared = 0
        self.fails = False
        self.during: Callable[[], None] = lambda: None

    async def run(self) -> Stats:
        self.count += 1
        self.during()
        if self.fails:
            raise OSError("broken")
        return Stats(self.pause_s, 0, self.spared)


class Night:
    """The scheduler's sleep. *wake* lets it look whether something is due, once."""

    def __init__(self) -> None:
        self._asked: asyncio.Queue[None] = asyncio.Queue()
        self._slept = asyncio.Event()
        self.rest_s: float | None = None

    async def sleep(self, event: asyncio.Event, seconds: float | None) -> None:
        self.rest_s = seconds
        self._slept.set()
        await self._asked.get()

    async def wake(self) -> None:
        await self._slept.wait()
        self._slept.clear()
        self._asked.put_nowait(None)
        await self._slept.wait()


class House:
    """A scheduler at work over a database."""

    def __init__(self, database: Database, clock: ManualClock, limits: Limits) -> None:
        self.database = database
        self.clock = clock
        self.runs = Runs()
        self.night = Night()
        self.scheduler = Scheduler(self.runs, database, clock, limits)

    @classmethod
    @asynccontextmanager
    async def opened(cls, directory: Path, limits: Limits) -> AsyncIterator[House]:
        clock = ManualClock()
        with Database.open(directory / "meta.sqlite", clock) as database:
            house = cls(database, clock, limits)
            async with asyncio.TaskGroup() as group:
                task = group.create_task(house.scheduler.main(house.night.sleep), name="scheduler")
                yield house
                task.cancel()

    async def passing(self, seconds: float) -> int:
        """Lets *seconds* pass and the scheduler look; how often the collector has run by then."""
        self.clock.forward(seconds)
        await self.night.wake()
        return self.runs.count

    async def mutate(self, times: int = 1) -> None:
        for _ in range(times):
            await self.database.write(lambda tx: tx.next_in_sequence("x"))

    async def delete(self) -> None:
        await self.database.write(lambda tx: tx.dirtied(kinds.CONTENT))


def with_house(directory: Path, limits: Limits, test: Callable[[House], Awaitable[None]]) -> None:
    async def main() -> None:
        async with House.opened(directory, limits) as house:
            await test(house)

    asyncio.run(main())


def test_the_first_run_comes_after_the_start_up_delay(scratch: Path) -> None:
    async def test(house: House) -> None:
        assert await house.passing(0.09) == 0
        assert await house.passing(0.02) == 1

    with_house(scratch, Limits(), test)


def test_without_start_up_delay_nothing_runs_until_something_happens(scratch: Path) -> None:
    async def test(house: House) -> None:
        assert await house.passing(1000) == 0
        assert house.night.rest_s is None
        await house.delete()
        assert await house.passing(0) == 1

    with_house(scratch, NO_START, test)


def test_a_deletion_is_collected_when_the_interval_is_over(scratch: Path) -> None:
    async def test(house: House) -> None:
        await house.delete()
        assert await house.passing(0) == 1
        await house.delete()
        assert await house.passing(0.24) == 1
        # 5 ms, the least pause, are 2 % of 250 ms.
        assert await house.passing(0.01) == 2

    with_house(scratch, NO_START, test)


def test_long_pauses_make_long_intervals(scratch: Path) -> None:
    async def test(house: House) -> None:
        house.runs.pause_s = 0.1
        await house.delete()
        assert await house.passing(0) == 1
        await house.delete()
        assert await house.passing(4.8) == 1
        assert await house.passing(0.2) == 2

    with_house(scratch, NO_START, test)


def test_an_idle_daemon_sleeps_without_end(scratch: Path) -> None:
    async def test(house: House) -> None:
        assert await house.passing(1) == 1
        assert house.night.rest_s is None

    with_house(scratch, Limits(), test)


def test_many_changes_are_a_reason_and_few_are_none(scratch: Path) -> None:
    async def test(house: House) -> None:
        await house.mutate(99)
        assert await house.passing(100) == 0
        await house.mutate(1)
        assert await house.passing(0) == 1
        await house.mutate(99)
        assert await house.passing(100) == 1

    with_house(scratch, NO_START, test)


def test_a_threshold_of_deletions_is_waited_for(scratch: Path) -> None:
    async def test(house: House) -> None:
        await house.delete()
        assert await house.passing(100) == 0
        await house.delete()
        assert await house.passing(0) == 1
        await house.delete()
        await house.delete()
        assert await house.passing(0) == 2

    with_house(scratch, Limits(deletion_threshold=2, startup_delay_s=0), test)


def test_the_schedule_delay_is_kept(scratch: Path) -> None:
    async def test(house: House) -> None:
        await house.delete()
        assert await house.passing(2.9) == 0
        assert await house.passing(0.2) == 1

    with_house(scratch, Limits(schedule_delay_s=3, startup_delay_s=0), test)


def test_who_waits_gets_the_stats_of_a_run_that_began_later(scratch: Path) -> None:
    async def test(house: House) -> None:
        async with asyncio.TaskGroup() as group:
            late: list[asyncio.Task[Stats]] = []

            def during() -> None:
                if not late:
                    late.append(group.create_task(house.scheduler.collected(), name="late"))

            house.runs.during = during
            first = group.create_task(house.scheduler.collected(), name="first")
            await asyncio.sleep(0)
            assert await house.passing(0) == 1
            assert await first == Stats(0.0, 0, 0)
            await asyncio.sleep(0)
            assert not late[0].done()
            assert await house.passing(0) == 2
            await late[0]

    with_house(scratch, NO_START, test)


def test_a_failure_reaches_who_waits_and_is_tried_again(scratch: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test(house: House) -> None:
        house.runs.fails = True
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(_error(house.scheduler), name="waiting")
            await asyncio.sleep(0)
            assert await house.passing(0) == 1
            assert (await waiting).wire_text() == "gc failed"
        house.runs.fails = False
        assert await house.passing(1.9) == 1
        assert await house.passing(0.2) == 2

    with_house(scratch, NO_START, test)
    assert "garbage collection failed" in caplog.text


async def _error(scheduler: Scheduler) -> Unknown:
    with pytest.raises(Unknown) as raised:
        await scheduler.collected()
    return raised.value


def expiring(name: str, at_ns: int) -> Callable[[Transaction], None]:
    def make(tx: Transaction) -> None:
        id_ = objects.insert(tx, "ns", kinds.LEASES, name)
        assert id_ is not None
        objects.set_root(tx, id_, ROOT_WHOLE, at_ns)

    return make


def test_an_expiry_wakes_the_collector(scratch: Path) -> None:
    async def test(house: House) -> None:
        await house.database.write(expiring("late", START_NS + 100 * NS))
        await house.database.write(expiring("soon", START_NS + 10 * NS))
        assert await house.passing(9) == 0
        assert await house.passing(2) == 1
        assert house.night.rest_s == pytest.approx(89)
        assert await house.passing(88) == 1
        assert await house.passing(2) == 2
        assert house.night.rest_s is None

    with_house(scratch, NO_START, test)


def test_an_expiry_of_before_the_start_is_known(scratch: Path) -> None:
    async def before(house: House) -> None:
        await house.database.write(expiring("x", START_NS + 10 * NS))

    async def after(house: House) -> None:
        assert await house.passing(9) == 0
        assert await house.passing(2) == 1

    with_house(scratch, NO_START, before)
    with_house(scratch, NO_START, after)


def test_what_was_spared_is_looked_at_again(scratch: Path) -> None:
    async def test(house: House) -> None:
        house.runs.spared = 1
        assert await house.passing(0.2) == 1
        house.runs.spared = 0
        assert await house.passing(0.2) == 1
        assert await house.passing(0.1) == 2
        assert await house.passing(100) == 2

    with_house(scratch, Limits(), test)


def test_limits_are_clamped() -> None:
    assert Limits.clamped(
        pause_threshold=2, deletion_threshold=3, mutation_threshold=-1, schedule_delay_s=-1, startup_delay_s=-1
    ) == Limits(0.5, 3, 0, 0, 0)
