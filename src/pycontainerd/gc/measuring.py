"""The bytes of snapshots that no row knows: of active ones, which grow, and of those that another program keeps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final, Protocol

from pycontainerd.errors import Error
from pycontainerd.metadata.database import Database
from pycontainerd.metadata.gc.usage import place_of, unmeasured
from pycontainerd.snapshots.model import Usage

_log: Final = logging.getLogger(__name__)

_AT_ONCE: Final = 16


class Backend(Protocol):
    """What is needed of a snapshotter."""

    async def usage(self, key: str) -> Usage: ...


class Measuring:
    """Asks the snapshotters, each by its name in *backends*."""

    def __init__(self, database: Database, backends: Mapping[str, Backend]) -> None:
        self._database = database
        self._backends = backends

    async def sizes(self) -> dict[str, int]:
        """The bytes now, by place (see `usage.Item`). What can't be measured, or goes meanwhile, is left out."""
        found: dict[str, int] = {}
        turns = asyncio.Semaphore(_AT_ONCE)

        async def measure(snapshotter: str, key: str) -> None:
            async with turns:
                try:
                    found[place_of(snapshotter, key)] = (await self._backends[snapshotter].usage(key)).size
                except Error as error:
                    _log.debug("can't measure snapshot %s: %s", key, error)

        async with asyncio.TaskGroup() as group:
            for snapshotter, key in await self._database.read(unmeasured):
                if snapshotter in self._backends:
                    group.create_task(measure(snapshotter, key), name="measure snapshot")
        return found
