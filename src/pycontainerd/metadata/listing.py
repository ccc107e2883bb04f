"""Where a list is read: short ones in the loop, where they cost no thread's wake-up; long ones in a thread.

Lists that are sent as a stream are read page by page, each page where the one before ended, in the order of names.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, TypeVar

from pycontainerd.metadata import objects
from pycontainerd.metadata.database import Database

T = TypeVar("T")

PAGE: Final = 100
"""Objects that one page holds: what the original sends in one message of a stream."""

SHORT: Final = 200
"""Objects whose list is read in the loop: well below a millisecond."""

SCANNED: Final = 1_000
"""Objects that a thread looks at for one page when only Python can tell which of them are wanted."""

_COUNT: Final = f"SELECT count(*) FROM (SELECT 1 FROM objects WHERE {objects.IN_NAMESPACE} LIMIT {SHORT + 1})"  # noqa: S608 - constants of ours


async def listed(database: Database, namespace: str, kind: str, read: Callable[[sqlite3.Connection], T]) -> T:
    """What *read* reads of the objects of *kind* in *namespace*."""
    with database.reading() as connection:
        if _is_short(connection, namespace, kind):
            return read(connection)
    return await database.read(read)


async def paged(
    database: Database,
    namespace: str,
    kind: str,
    read: Callable[[sqlite3.Connection, str, int], Sequence[T]],
    *,
    name: Callable[[T], str],
    wanted: Callable[[T], bool] | None = None,
    scans: bool = False,
) -> AsyncIterator[Sequence[T]]:
    """Pages of the objects of *kind* in *namespace*, up to PAGE rows each, those only that are *wanted*.

    *read* reads up to so many rows behind a name, which *name* tells of a row. If it *scans* many rows for few, or
    *wanted* has to look at each, a long list is read in a thread. Else each page is a short question, and the loop has
    its turn between two of them.
    """
    with database.reading() as connection:
        in_loop = (not scans and wanted is None) or _is_short(connection, namespace, kind)
    count = PAGE if wanted is None else SCANNED

    def read_page(connection: sqlite3.Connection) -> tuple[Sequence[T], str]:
        rows = read(connection, last, count)
        end = name(rows[-1]) if len(rows) == count else ""
        return (rows if wanted is None else [row for row in rows if wanted(row)]), end

    last = ""
    while True:
        if in_loop:
            with database.reading() as connection:
                rows, last = read_page(connection)
        else:
            rows, last = await database.read(read_page)
        for start in range(0, len(rows), PAGE):
            yield rows[start : start + PAGE]
        if not last:
            return
        if in_loop:
            await asyncio.sleep(0)


def _is_short(connection: sqlite3.Connection, namespace: str, kind: str) -> bool:
    count: int = connection.execute(_COUNT, (namespace, kind)).fetchone()[0]
    return count <= SHORT
