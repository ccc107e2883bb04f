"""What a run does beside the database: backends, events, errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontainerd.images.model import Image, Target
from pycontainerd.metadata import kinds, labels, objects
from pycontainerd.metadata.gc import order
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
        self.asked: list[Sequence[str]] = []

    async def collect(self) -> None:
        await self.collect_only(["all"])

    async def collect_only(self, names: Sequence[str]) -> None:
        self.count += 1
        self.asked.append(sorted(names))
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


def test_a_backend_is_told_what_lost_a_row_since_the_last_run_and_asked_for_all_after_a_failure(scratch: Path) -> None:
    overlayfs = kinds.snapshots("overlayfs")

    def fill(tx: Transaction) -> None:
        for number in range(3):
            id_ = objects.insert(tx, "ns", kinds.CONTENT, f"d{number}")
            tx.execute("INSERT INTO blobs (id, digest, size) VALUES (?, ?, 1)", (id_, f"d{number}"))
        id_ = objects.insert(tx, "ns", overlayfs, "s")
        tx.execute("INSERT INTO snapshots (id, snapshotter, backend) VALUES (?, 'overlayfs', 'ns/1/s')", (id_,))
        id_ = objects.insert(tx, "ns", kinds.INGESTS, "r")
        assert id_ is not None
        objects.set_root(tx, id_, 1, None)
        tx.execute("INSERT INTO ingests (id, backend, expected) VALUES (?, 'ns/1/r', 'd9')", (id_,))

    async def test(stores: Stores) -> None:
        collector = Collector(stores.database, stores.clock)
        content, snapshots = Backend(), Backend()
        collector.register(content, kinds.CONTENT, only=content.collect_only)
        collector.register(snapshots, overlayfs, only=snapshots.collect_only)
        await collector.run()
        await stores.database.write(fill)
        await collector.run()
        await collector.run()
        assert content.asked == [["all"], ["d0", "d1", "d2"]]
        assert snapshots.asked == [["all"], ["ns/1/s"]]
        await stores.database.write(lambda tx: tx.execute("UPDATE ingests SET expected = 'd8'"))
        content.fails = True
        await collector.run()
        await stores.database.write(lambda tx: tx.execute("DELETE FROM objects WHERE kind = 'ingests'"))
        content.fails = False
        await collector.run()
        await stores.database.write(fill)
        await collector.run()
        assert content.asked[2:] == [["d9"], ["all"], ["d0", "d1", "d2"]]

    with_stores(scratch, test)


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
    assert (set(cycle[:2]), cycle[2:]) == ({4, 5}, [6])


@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=30))
def test_what_needs_each_other_goes_together_and_the_rest_in_order(needs: list[tuple[int, int]]) -> None:
    ids = set(range(12))
    below = {id_: _reached(id_, needs) for id_ in ids}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(order, "BATCH", 2)
        batches = ordered(set(ids), needs, set()).batches
    assert sorted(id_ for batch in batches for id_ in batch) == sorted(ids)
    when = {id_: number for number, batch in enumerate(batches) for id_ in batch}
    for owner, target in needs:
        assert when[owner] <= when[target]
        assert when[owner] == when[target] or owner not in below[target]
    for batch in batches:
        circles = {frozenset(id_ for id_ in ids if id_ in below[one] and one in below[id_]) | {one} for one in batch}
        assert len(batch) <= 2 or len(circles) == 1


def _reached(start: int, needs: list[tuple[int, int]]) -> set[int]:
    found, waiting = set(), [start]
    while waiting:
        id_ = waiting.pop()
        for owner, target in needs:
            if owner == id_ and target not in found:
                found.add(target)
                waiting.append(target)
    return found


def test_nothing_of_the_watch_is_left_after_a_run(scratch: Path) -> None:
    async def test(stores: Stores) -> None:
        collector = Collector(stores.database, stores.clock)
        await collector.run()
        await collector.run()
        sql = "SELECT name FROM sqlite_temp_schema WHERE name NOT LIKE '%freed%'"
        assert await stores.database.write(lambda tx: tx.execute(sql).fetchall()) == []

    with_stores(scratch, test)
