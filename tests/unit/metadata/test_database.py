"""The single writer: what it commits, what it undoes, who hears when."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pycontainerd.errors import DataLoss, FailedPrecondition, InvalidArgument, Unavailable
from pycontainerd.metadata import objects
from pycontainerd.metadata.database import Committed, Database
from pycontainerd.metadata.schema import APPLICATION_ID, LATEST, MIGRATIONS
from pycontainerd.metadata.transaction import Transaction, find_namespace
from tests.harness.clocks import START_NS, ManualClock


def with_database(directory: Path, test: Callable[[Database], Awaitable[None]]) -> None:
    async def main() -> None:
        with Database.open(directory / "meta.sqlite", ManualClock()) as database:
            await test(database)

    asyncio.run(main())


def names(database: Database) -> list[str]:
    with database.reading() as connection:
        return [name for (name,) in connection.execute("SELECT name FROM objects ORDER BY id")]


def make(name: str) -> Callable[[Transaction], int]:
    return lambda tx: tx.namespace_id(name)


def test_a_write_is_seen_when_it_returns(scratch: Path) -> None:
    async def test(database: Database) -> None:
        id_ = await database.write(make("a"))
        with database.reading() as connection:
            assert find_namespace(connection, "a") == id_
        assert await database.read(lambda connection: find_namespace(connection, "a")) == id_

    with_database(scratch, test)


def test_an_operation_that_fails_undoes_itself_and_no_neighbour(scratch: Path) -> None:
    def fail(tx: Transaction) -> None:
        tx.namespace_id("undone")
        raise InvalidArgument("no")

    async def test(database: Database) -> None:
        results = await asyncio.gather(
            database.write(make("a")), database.write(fail), database.write(make("b")), return_exceptions=True
        )
        assert isinstance(results[1], InvalidArgument)
        assert names(database) == ["a", "b"]

    with_database(scratch, test)


def test_what_waits_together_is_committed_together(scratch: Path) -> None:
    commits: list[Committed] = []
    begun, go_on = threading.Event(), threading.Event()

    def block(tx: Transaction) -> None:
        begun.set()
        assert go_on.wait(10)

    async def test(database: Database) -> None:
        database.listen(commits.append)
        async with asyncio.TaskGroup() as group:
            group.create_task(database.write(block), name="first")
            await asyncio.to_thread(begun.wait, 10)
            for name in "abc":
                group.create_task(database.write(make(name)), name=name)
            await asyncio.sleep(0)
            go_on.set()
        assert [commit.mutations for commit in commits] == [4]

    with_database(scratch, test)


def test_readers_see_one_state_while_they_read(scratch: Path) -> None:
    async def test(database: Database) -> None:
        await database.write(make("a"))
        with database.reading() as connection:
            before = connection.execute("SELECT count(*) FROM objects").fetchone()
            other = sqlite3.connect(database.path)
            other.execute("DELETE FROM objects")
            other.commit()
            other.close()
            assert connection.execute("SELECT count(*) FROM objects").fetchone() == before
        assert names(database) == []

    with_database(scratch, test)


def test_a_reader_can_not_write(scratch: Path) -> None:
    async def test(database: Database) -> None:
        with pytest.raises(FailedPrecondition), database.reading() as connection:
            connection.execute("INSERT INTO sequences VALUES ('x', '', 1)")

    with_database(scratch, test)


def test_events_come_after_the_commit_and_before_the_caller_goes_on(scratch: Path) -> None:
    seen: list[object] = []

    async def test(database: Database) -> None:
        def work(tx: Transaction) -> None:
            tx.namespace_id("a")
            tx.after_commit(lambda: seen.append(names(database)))

        await database.write(work)
        assert seen == [["a"]]

    with_database(scratch, test)


def test_an_event_that_fails_fails_the_call_but_not_the_commit(scratch: Path) -> None:
    async def test(database: Database) -> None:
        def refuse() -> None:
            raise InvalidArgument("failed publishing event")

        def work(tx: Transaction) -> None:
            tx.namespace_id("a")
            tx.after_commit(refuse)

        with pytest.raises(InvalidArgument, match="publishing"):
            await database.write(work)
        assert names(database) == ["a"]

    with_database(scratch, test)


def test_a_failed_operation_tells_nothing(scratch: Path) -> None:
    commits: list[Committed] = []
    seen: list[str] = []

    def fail(tx: Transaction) -> None:
        tx.dirtied("content")
        tx.after_commit(lambda: seen.append("event"))
        raise InvalidArgument("no")

    async def test(database: Database) -> None:
        database.listen(commits.append)
        with pytest.raises(InvalidArgument):
            await database.write(fail)
        assert (commits, seen) == ([], [])

    with_database(scratch, test)


def test_listeners_hear_of_deletions_and_expiries_but_not_of_quiet_work(scratch: Path) -> None:
    commits: list[Committed] = []

    def dirty(tx: Transaction) -> None:
        tx.dirtied("content")
        tx.expires(7)
        tx.expires(5)

    async def test(database: Database) -> None:
        database.listen(commits.append)
        await database.write(dirty)
        await database.write(dirty, quiet=True)
        assert commits == [Committed(1, frozenset({"content"}), 5), Committed(0, frozenset(), None)]

    with_database(scratch, test)


def test_a_listener_that_fails_is_logged_and_keeps_nobody(scratch: Path, caplog: pytest.LogCaptureFixture) -> None:
    commits: list[Committed] = []

    def fail(_: Committed) -> None:
        raise ValueError("a defect")

    async def test(database: Database) -> None:
        database.listen(fail)
        database.listen(commits.append)
        async with asyncio.timeout(10):
            assert await database.write(make("a"))
        assert len(commits) == 1

    with_database(scratch, test)
    assert "ValueError: a defect" in caplog.text


def test_the_loop_never_waits_long_for_a_lock(scratch: Path) -> None:
    async def test(database: Database) -> None:
        with database.reading() as connection:
            assert connection.execute("PRAGMA busy_timeout").fetchone() == (100,)

    with_database(scratch, test)


def test_the_journal_becomes_small_again(scratch: Path) -> None:
    def much(tx: Transaction) -> None:
        for number in range(24):
            tx.execute("INSERT INTO sequences VALUES (?, '', 1)", (f"{number}{'x' * (1 << 20)}",))

    async def test(database: Database) -> None:
        journal = scratch / "meta.sqlite-wal"
        await database.write(much)
        assert journal.stat().st_size > 24 << 20
        await database.write(make("a"))
        await database.write(make("b"))
        assert journal.stat().st_size <= 16 << 20

    with_database(scratch, test)


def test_a_cancelled_caller_withdraws_what_has_not_begun(scratch: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def block(tx: Transaction) -> None:
        begun.set()
        assert go_on.wait(10)

    async def test(database: Database) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(database.write(block), name="first")
            await asyncio.to_thread(begun.wait, 10)
            waiting = group.create_task(database.write(make("withdrawn")), name="second")
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
            go_on.set()
        assert waiting.cancelled()
        await database.write(make("a"))
        assert names(database) == ["a"]

    with_database(scratch, test)


def test_a_cancelled_caller_waits_for_what_has_begun(scratch: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()
    seen: list[str] = []

    def slow(tx: Transaction) -> None:
        tx.namespace_id("done")
        tx.after_commit(lambda: seen.append("event"))
        begun.set()
        assert go_on.wait(10)

    async def test(database: Database) -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(database.write(slow), name="slow")
            await asyncio.to_thread(begun.wait, 10)
            task.cancel()
            await asyncio.sleep(0)
            assert not task.done()
            task.cancel()
            go_on.set()
            await asyncio.wait([task])
        assert task.cancelled()
        assert (names(database), seen) == (["done"], ["event"])

    with_database(scratch, test)


def test_after_the_end_nothing_is_written(scratch: Path) -> None:
    async def test(database: Database) -> None:
        pending = asyncio.gather(database.write(make("a")), database.write(make("b")))
        await asyncio.sleep(0)
        database.close()
        await pending
        with pytest.raises(Unavailable):
            await database.write(make("c"))

    with_database(scratch, test)


def test_an_error_of_the_database_names_what_was_done(scratch: Path) -> None:
    async def test(database: Database) -> None:
        with pytest.raises(Exception, match="create thing: no such table"):
            await database.write(lambda tx: tx.execute("SELECT * FROM missing"), what="create thing")

    with_database(scratch, test)


def test_a_full_disk_fails_all_that_waited_and_undoes_it(scratch: Path) -> None:
    def fill(tx: Transaction) -> None:
        pages = tx.execute("PRAGMA page_count").fetchone()[0]
        tx.execute(f"PRAGMA max_page_count = {pages + 5}")

    def grow(tx: Transaction) -> None:
        for number in range(1000):
            tx.namespace_id(f"{number}" * 300)

    async def test(database: Database) -> None:
        await database.write(fill)
        first, second = await asyncio.gather(
            database.write(make("small")), database.write(grow), return_exceptions=True
        )
        assert type(second).__name__ == "ResourceExhausted"
        await database.write(lambda tx: tx.execute("PRAGMA max_page_count = 1000000").fetchone())
        assert names(database) == ([] if isinstance(first, Exception) else ["small"])

    with_database(scratch, test)


def test_sequences_count_from_one_and_go_on_after_the_namespace(scratch: Path) -> None:
    async def test(database: Database) -> None:
        def count(tx: Transaction) -> list[int]:
            return [
                tx.next_in_sequence("snapshots/overlayfs", "a"),
                tx.next_in_sequence("snapshots/overlayfs", "a"),
                tx.next_in_sequence("snapshots/native", "a"),
                tx.next_in_sequence("snapshots/overlayfs", "b"),
            ]

        assert await database.write(count) == [1, 2, 1, 1]
        await database.write(lambda tx: tx.execute("DELETE FROM objects"))
        assert await database.write(count) == [3, 4, 2, 2]

    with_database(scratch, test)


def test_what_a_crash_left_reserved_is_gone_at_the_next_start(scratch: Path) -> None:
    async def before(database: Database) -> None:
        await database.write(lambda tx: objects.insert(tx, "ns", "content", "kept"))
        await database.write(lambda tx: objects.insert(tx, "ns", "content", "left", reserved=True))
        assert names(database) == ["ns", "kept", "left"]

    async def after(database: Database) -> None:
        assert names(database) == ["ns", "kept"]

    with_database(scratch, before)
    with_database(scratch, after)


def test_ids_are_never_given_twice(scratch: Path) -> None:
    async def test(database: Database) -> None:
        first = await database.write(lambda tx: objects.insert(tx, "ns", "content", "a"))
        await database.write(lambda tx: tx.execute("DELETE FROM objects WHERE name = 'a'"))
        assert await database.write(lambda tx: objects.insert(tx, "ns", "content", "a")) != first

    with_database(scratch, test)


def test_the_file_is_ours_durable_and_readable(scratch: Path) -> None:
    async def test(database: Database) -> None:
        mode, sync = await database.write(
            lambda tx: (tx.execute("PRAGMA journal_mode").fetchone()[0], tx.execute("PRAGMA synchronous").fetchone()[0])
        )
        assert (mode, sync) == ("wal", 2)
        assert database.path.stat().st_mode & 0o777 == 0o644

    with_database(scratch, test)


def test_a_newer_file_is_refused(scratch: Path) -> None:
    with_database(scratch, _make_a)
    connection = sqlite3.connect(scratch / "meta.sqlite")
    connection.execute(f"PRAGMA user_version = {LATEST + 1}")
    connection.close()
    with pytest.raises(FailedPrecondition, match=f"schema version {LATEST + 1}, this program knows {LATEST} at most"):
        Database.open(scratch / "meta.sqlite", ManualClock())


def test_a_file_of_the_first_version_is_migrated_and_keeps_what_it_has(scratch: Path) -> None:
    connection = sqlite3.connect(scratch / "meta.sqlite")
    connection.executescript(MIGRATIONS[0])
    connection.execute("INSERT INTO objects (namespace, kind, name, created_ns, updated_ns) VALUES (0, 'k', 'a', 1, 2)")
    connection.commit()
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 1")
    connection.close()

    async def test(database: Database) -> None:
        kept, version = await database.read(
            lambda c: (
                c.execute("SELECT name, used_ns FROM objects").fetchall(),
                c.execute("PRAGMA user_version").fetchone()[0],
            )
        )
        assert kept == [("a", None)]
        assert version == LATEST

    with_database(scratch, test)


def test_a_file_of_another_program_is_refused(scratch: Path) -> None:
    connection = sqlite3.connect(scratch / "meta.sqlite")
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    with pytest.raises(FailedPrecondition, match="of another program"):
        Database.open(scratch / "meta.sqlite", ManualClock())


@pytest.mark.parametrize("damage", [b"not a database at all" * 100, b""])
def test_a_damaged_file_is_reported(damage: bytes, scratch: Path) -> None:
    path = scratch / "meta.sqlite"
    with_database(scratch, _make_a)
    path.write_bytes(damage or path.read_bytes()[:4096] + b"\xff" * 8192)
    with pytest.raises(DataLoss, match=str(path)) as raised:
        Database.open(path, ManualClock())
    assert "backup" in raised.value.hint


def test_time_stands_still_in_an_operation(scratch: Path) -> None:
    async def test(database: Database) -> None:
        assert await database.write(lambda tx: tx.now_ns) == START_NS

    with_database(scratch, test)


async def _make_a(database: Database) -> None:
    await database.write(make("a"))
