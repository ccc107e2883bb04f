"""The namespaces in which a remote that has such may keep something of ours."""

from __future__ import annotations

from typing import Final

from pycontainerd.metadata.database import Database

_NAMES: Final = "SELECT name FROM objects WHERE namespace = 0 AND kind = 'namespaces'"


async def namespaces_of(database: Database) -> list[str]:
    """The names of all namespaces of this daemon."""
    return await database.read(lambda connection: [name for (name,) in connection.execute(_NAMES)])
