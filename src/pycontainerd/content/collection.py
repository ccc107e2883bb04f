"""What the collector takes from the disk: blobs that no row names, ingests that have no row."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from pycontainerd import faults
from pycontainerd.content import rows
from pycontainerd.content.backend import Backend
from pycontainerd.content.model import Digest
from pycontainerd.errors import Error
from pycontainerd.metadata.database import Database

faults.declare("content.collect.listed")

_log: Final = logging.getLogger(__name__)


class ContentCollection:
    """The content store's side of the collector; safe beside writers and readers."""

    def __init__(self, database: Database, backend: Backend) -> None:
        self._database = database
        self._backend = backend

    async def collect(self) -> None:
        """Removes what no row names any more."""
        if self._backend.doubtful is not None:
            self._backend.doubtful.clear()
        # The disk is read first: what comes later is no candidate, and whose row comes later is found below.
        found = await self._backend.list_blobs()
        faults.reach("content.collect.listed")
        if found:
            named = await self._database.read(rows.all_named)
            for name in found:
                if name not in named:
                    await self._remove(Digest.parse(name))
        await self._remove_ingests()

    async def collect_only(self, names: Sequence[str]) -> None:
        """Like `collect`, of blobs only those of *names* and those that the backend has doubts about."""
        doubtful = self._backend.doubtful or set()
        found = doubtful.union(names)
        doubtful.clear()
        for name in found:
            await self._remove(Digest.parse(name))
        await self._remove_ingests()

    async def _remove_ingests(self) -> None:
        await self._backend.remove_other_ingests(lambda: self._database.read(rows.all_ingests))

    async def _remove(self, digest: Digest) -> None:
        try:
            if await self._backend.remove_unless(digest, lambda: self._is_named(digest)):
                _log.debug("removed content", extra={"fields": {"key": str(digest)}})
        except Error as error:
            # One that can't be removed must not keep the others; the next collection tries again.
            _log.warning("failed to remove content %s: %s", digest, error)
            if self._backend.doubtful is not None:
                self._backend.doubtful.add(str(digest))

    def _is_named(self, digest: Digest) -> bool:
        with self._database.asking() as connection:
            return rows.named_by_any(connection, str(digest))
