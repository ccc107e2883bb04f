"""What a run does beside the database: backends, events, errors."""

from __future__ import annotations

from pathlib import Path

import pytest

from pycontainerd.images.model import Image, Target
from pycontainerd.metadata import kinds, labels, objects
from pycontainerd.metadata.gc.collector import Collector
from pycontainerd.metadata.gc.order import BATCH, ordered
from pycontainerd.metadata.gc.sweep import Removed
from pycontainerd.metadata.transaction import Transaction
from tests.harness.stores import Stores, with_stores

DIGEST = "sha256:" + "a" * 64


class Backend:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.count = 0
        self.fails = False

    async def collect(self) -> None:
        self.count += 1
        if self.fails:
            raise OSError("disk is broken")


def make_content(tx: Transaction) -> None:
    assert objects.insert(tx, "ns", kinds.CONTENT, DIGEST) is not None


def test_backends_are_asked_at_first_and_when_something_of_theirs_is_gone(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        collector = Collector(stores.database, stores.clock)
        content, snapshots, always = Backend(), Backend(), Backend()
        collector.register(content, kinds.CONTENT, kinds.INGESTS)
        collector.register(snapshots, kinds.snapshots("overlayfs"))
        collector.register(always)
        counts = [(1, 1, 1), (1, 1, 2), (2, 1, 3), (3, 2, 4)]
        await collector.run()
        assert (content.count, snapshots.count, always.count) == counts[0]
        await collector.run()
        assert (content.count, snapshots.count, always.count) == counts[1]
        await stores.database.write(make_content)
        await collector.run()
        assert (content.count, snapshots.count, always.count) == counts[2]
        await stores.database.write(lambda tx: tx.dirtied(kinds.INGESTS))
        await stores.database.write(lambda tx: tx.dirtied(kinds.snapshots("overlayfs")))
        await collector.run()
        assert (content.count, snapshots.count, always.count) == counts[3]

    with_stores(scratch, test)


def test_a_backend_that_fails_stops_no_other_and_is_asked_again(
    scratch: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(stores: Stores) -> None:
        collector = Collector(stores.database, stores.clock)
        bad, good = Backend(), Backend()
        collector.register(bad, kinds.CONTENT)
        collector.register(good, kinds.CONTENT)
        bad.fails = True
        await collector.run()
        assert (bad.count, good.count) == (1, 1)
        bad.fails = False
        await collector.run()
        assert (bad.count, good.count) == (2, 1)
        await collector.run()
        assert (bad.count, good.count) == (2, 1)

    with_stores(scratch, test)
    assert "disk is broken" in caplog.text


def test_every_removed_object_is_told_with_its_namespace(scratch: Path) -> None:
    told: list[Removed] = []

    async def test(stores: Stores) -> None:
        collector = Collector(stores.database, stores.clock, told.append)
        said = {"containerd.io/gc.expire": "2000-01-01T00:00:00Z"}
        await stores.images.create("other", Image("i", Target("m/t", DIGEST, 1), said))
        await stores.database.write(make_content)
        stats = await collector.run()
        assert stats.removed == 2
        assert set(told) == {Removed("other", kinds.IMAGES, "i"), Removed("ns", kinds.CONTENT, DIGEST)}

    with_stores(scratch, test)


def test_a_long_chain_goes_from_its_head_in_batches(scratch: Path) -> None:
    told: list[Removed] = []
    length = BATCH * 2 + 50

    def chain(tx: Transaction) -> None:
        for number in range(length):
            id_ = objects.insert(tx, "ns", kinds.CONTENT, f"d{number:04}")
            assert id_ is not None
            labels.replace(tx, id_, {"containerd.io/gc.ref.content.x": f"d{number + 1:04}"})

    async def test(stores: Stores) -> None:
        await stores.database.write(chain)
        await Collector(stores.database, stores.clock, told.append).run()
        assert [removed.name for removed in told] == [f"d{number:04}" for number in range(length)]

    with_stores(scratch, test)


def test_what_is_needed_goes_after_what_needs_it_and_cycles_go_at_once() -> None:
    needs = [(1, 2), (2, 3), (4, 5), (5, 4), (5, 6), (7, 7)]
    dying = ordered({1, 2, 3, 4, 5, 6, 7}, needs, set())
    first, cycle = dying.batches
    assert (first.index(1) < first.index(2) < first.index(3), 7 in first) == (True, True)
    assert set(cycle) == {4, 5, 6}


def test_nothing_of_the_watch_is_left_after_a_run(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        collector = Collector(stores.database, stores.clock)
        await collector.run()
        await collector.run()
        left = await stores.database.write(lambda tx: tx.execute("SELECT name FROM sqlite_temp_schema").fetchall())
        assert left == []

    with_stores(scratch, test)
