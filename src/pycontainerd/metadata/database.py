"""The database: one writer that commits for all, readers that wait for nobody.

An operation is queued to the writer's thread, where it runs in its own savepoint; what is waiting when the writer
looks is committed in one go. Its caller goes on when the commit is on disk. Readers see the last commit: the loop has
a connection for small questions, and threads have theirs for large ones.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from msgspec import Struct

from pycontainerd import faults
from pycontainerd.clock import Clock
from pycontainerd.errors import Unavailable
from pycontainerd.metadata.failure import translate, translated
from pycontainerd.metadata.opening import IMPATIENT_S, open_reader, open_writer
from pycontainerd.metadata.transaction import Transaction
from pycontainerd.threads import Threads

T = TypeVar("T")

log: Final = logging.getLogger(__name__)

faults.declare("metadata.commit", "metadata.committed")

_READERS: Final = 2
_TOGETHER: Final = 128
"""Operations in one commit at most, so that the first of them does not wait for ever."""


class Committed(Struct, frozen=True):
    """What one commit brought: how many operations, the kinds of which something was deleted, the next expiry."""

    mutations: int
    dirty: frozenset[str]
    expiry_ns: int | None


class _Operation:
    """A queued piece of work and who waits for it."""

    __slots__ = ("error", "future", "loop", "quiet", "result", "token", "transaction", "what", "work")

    def __init__(self, work: Callable[[Transaction], Any], what: str, *, quiet: bool) -> None:
        self.work = work
        self.what = what
        self.quiet = quiet
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.token = [None]
        self.transaction: Transaction | None = None
        self.result: Any = None
        self.error: Exception | None = None

    def claim(self) -> bool:
        """True for the first who asks: the writer, to run it, or the caller, to withdraw it."""
        try:
            self.token.pop()
        except IndexError:
            return False
        return True


class Database:
    """The metadata database of one daemon. A context manager; made by `open`."""

    def __init__(self, path: Path, clock: Clock, writer: sqlite3.Connection) -> None:
        self.path = path
        self._clock = clock
        self._writer = writer
        self._loop_reader = open_reader(path, busy_s=IMPATIENT_S)
        self._depth = 0
        self._listeners: list[Callable[[Committed], None]] = []
        self._queue: queue.SimpleQueue[_Operation | None] = queue.SimpleQueue()
        self._closed = False
        self._local = threading.local()
        self._thread_readers: list[sqlite3.Connection] = []
        self._readers = Threads("metadata-reader", most=_READERS)
        self._thread = threading.Thread(target=self._run, name="metadata-writer", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, path: Path, clock: Clock, *, sync: bool = True) -> Self:
        """Opens the file, makes or migrates its tables, and drops what a crash left reserved.

        With *sync* false a commit may be lost by a power cut. Raises FailedPrecondition if the file is newer than
        this program or is no database of ours, DataLoss if it is damaged.
        """
        return cls(path, clock, open_writer(path, sync=sync))

    def listen(self, listener: Callable[[Committed], None]) -> None:
        """Calls *listener* in the loop after each commit, before the callers go on. What it raises is logged."""
        self._listeners.append(listener)

    async def write(self, work: Callable[[Transaction], T], *, what: str = "", quiet: bool = False) -> T:
        """Runs *work* in the writer's thread in its own savepoint; returns what it returned, once that is durable.

        What *work* raises undoes it alone and is raised here; *what* names the object in messages about the file.
        *quiet* work is not counted as a change (the collector's own). A cancelled caller withdraws work that has not
        begun; else it is cancelled when the work is done. Raises Unavailable after `close`.
        """
        if self._closed:
            raise Unavailable("metadata database is closed")
        operation = _Operation(work, what, quiet=quiet)
        self._queue.put(operation)
        try:
            result: T = await asyncio.shield(operation.future)
        except asyncio.CancelledError:
            if not operation.claim():
                await _settled(operation.future)
            raise
        return result

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The loop's connection, seeing one state of the database until left; for small, bounded questions."""
        connection = self._loop_reader
        with translated(f"read metadata database {self.path}"):
            if not self._depth:
                connection.execute("BEGIN")
            self._depth += 1
            try:
                yield connection
            finally:
                self._depth -= 1
                if not self._depth:
                    connection.execute("ROLLBACK")

    @contextmanager
    def asking(self) -> Iterator[sqlite3.Connection]:
        """As `reading`, for one question alone, which needs no transaction."""
        with translated(f"read metadata database {self.path}"):
            yield self._loop_reader

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Runs *work* in a reader's thread on a connection that sees one state of the database."""
        return await self._readers.run(self._read, work)

    def close(self) -> None:
        """Lets queued operations finish and closes the file."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._readers.close()
        for connection in (*self._thread_readers, self._loop_reader, self._writer):
            connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        with translated(f"read metadata database {self.path}"):
            if connection is None:
                connection = self._local.connection = open_reader(self.path)
                self._thread_readers.append(connection)
            connection.execute("BEGIN")
            try:
                return work(connection)
            finally:
                connection.execute("ROLLBACK")

    def _run(self) -> None:
        """The writer's thread."""
        while (operation := self._queue.get()) is not None:
            batch = self._run_batch(operation)
            for loop in {member.loop for member in batch}:
                members = [member for member in batch if member.loop is loop]
                try:
                    loop.call_soon_threadsafe(self._deliver, members)
                except RuntimeError:
                    continue  # the loop is closed: nobody waits any more

    def _run_batch(self, first: _Operation) -> list[_Operation]:
        """Runs *first* and what waits behind it, and commits. Every operation returned has a result or an error."""
        batch: list[_Operation] = []
        operation: _Operation | None = first
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            while operation is not None:
                if operation.claim():
                    batch.append(operation)
                    self._run_one(operation)
                operation = self._next(batch)
            self._commit(batch)
        except Exception as error:  # noqa: BLE001 - the one writer must not end while callers wait for it
            self._fail(batch or [first], error)
        return batch or [first]

    def _commit(self, batch: list[_Operation]) -> None:
        if all(member.error is not None for member in batch):
            self._writer.execute("ROLLBACK")
            return
        faults.reach("metadata.commit")
        self._writer.execute("COMMIT")
        faults.reach("metadata.committed")

    def _next(self, batch: list[_Operation]) -> _Operation | None:
        if len(batch) >= _TOGETHER:
            return None
        try:
            operation = self._queue.get_nowait()
        except queue.Empty:
            return None
        if operation is None:
            self._queue.put(None)
        return operation

    def _run_one(self, operation: _Operation) -> None:
        """Runs one operation in its savepoint. Raises sqlite3.Error when the whole transaction is lost."""
        transaction = operation.transaction = Transaction(self._writer, self._clock.now_ns())
        self._writer.execute("SAVEPOINT operation")
        try:
            operation.result = operation.work(transaction)
        except Exception as error:
            operation.error = self._translated(error, operation)
            if not self._writer.in_transaction:
                # SQLite gave the whole transaction up (disk full, I/O error): the neighbours' work is gone as well.
                raise sqlite3.OperationalError(f"transaction lost: {error}") from error
            self._writer.execute("ROLLBACK TO operation")
        self._writer.execute("RELEASE operation")

    def _translated(self, error: Exception, operation: _Operation) -> Exception:
        doing = operation.what or f"write metadata database {self.path}"
        return translate(error, doing) if isinstance(error, sqlite3.Error) else error

    def _fail(self, batch: list[_Operation], error: Exception) -> None:
        """Gives the whole batch up: nothing of it is stored, and all its callers hear why."""
        cause = error.__cause__ if isinstance(error.__cause__, sqlite3.Error) else error
        for operation in batch:
            if operation.error is None:
                operation.error = self._translated(cause, operation)
        with suppress(sqlite3.Error):  # what can't be rolled back is rolled back already
            self._writer.execute("ROLLBACK")

    def _deliver(self, batch: list[_Operation]) -> None:
        """In the loop: tells what was committed, then lets the callers go on, in the order of their operations."""
        done = [op for op in batch if op.error is None and op.transaction is not None]
        if done:
            committed = _committed([op.transaction for op in done if op.transaction and not op.quiet])
            for listener in self._listeners:
                try:
                    listener(committed)
                except Exception:
                    # What was asked for is done and durable: those who wait for it hear so.
                    log.exception("a listener to commits failed")
        for operation in batch:
            self._finish(operation)

    def _finish(self, operation: _Operation) -> None:
        error = operation.error
        if error is None and operation.transaction is not None:
            try:
                for callback in operation.transaction.after:
                    callback()
            except Exception as raised:  # noqa: BLE001 - the caller's own callback: the caller gets it
                error = raised
        if operation.future.done():
            return
        if error is not None:
            operation.future.set_exception(error)
            operation.future.exception()  # seen: a caller that went away asks no more
        else:
            operation.future.set_result(operation.result)


def _committed(transactions: list[Transaction]) -> Committed:
    dirty = frozenset[str]().union(*(transaction.dirty for transaction in transactions))
    expiries = [transaction.expiry_ns for transaction in transactions if transaction.expiry_ns is not None]
    return Committed(len(transactions), dirty, min(expiries, default=None))


async def _settled(future: asyncio.Future[Any]) -> None:
    """Waits until *future* is done, whatever else happens to the waiting task."""
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            continue  # cancelled already: the caller raises it when the work is done
