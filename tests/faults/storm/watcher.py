"""A client that listens to the exits, whenever there is a daemon to listen to."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Final

from pycontainerd.api.containerd import events_pb2
from pycontainerd.errors import Cancelled, Unavailable
from tests.faults.storm.scene import Scene

RETRY_S: Final = 0.02


class Watcher:
    """The codes that events told, by container and process (init is "")."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.told: dict[tuple[str, str], set[int]] = defaultdict(set)

    async def run(self) -> None:
        """Listens until it is cancelled."""
        while True:
            try:
                await self._listen()
            except (OSError, Unavailable, Cancelled):
                await asyncio.sleep(RETRY_S)

    async def _listen(self) -> None:
        client = await self._scene.connect()
        try:
            async with client.events.subscribe('topic=="/tasks/exit"') as envelopes:
                async for envelope in envelopes:
                    event = events_pb2.TaskExit.FromString(envelope.event.value)
                    exec_id = "" if event.id == event.container_id else event.id
                    self.told[event.container_id, exec_id].add(event.exit_status)
        finally:
            await client.close()
