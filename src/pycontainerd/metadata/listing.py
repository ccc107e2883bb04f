"""Where a list is read: short ones in the loop, where they cost no thread's wake-up; long ones in a thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final, TypeVar

from pycontainerd.metadata import objects
from pycontainerd.metadata.database import Database

T = TypeVar("T")

SHORT: Final = 200
"""Objects whose list is read in the loop: well below a millisecond."""

_COUNT: Final = f"SELECT count(*) FROM (SELECT 1 FROM objects WHERE {objects.IN_NAMESPACE} LIMIT {SHORT + 1})"  # noqa: S608 - constants of ours


async def listed(database: Database, namespace: str, kind: str, read: Callable[[sqlite3.Connection], T]) -> T:
    """What *read* reads of the objects of *kind* in *namespace*."""
    with database.reading() as connection:
        if connection.execute(_COUNT, (namespace, kind)).fetchone()[0] <= SHORT:
            return read(connection)
    return await database.read(read)
