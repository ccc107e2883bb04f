"""Going through trees for the daemon: small ones in a thread, large ones in a worker process.

A thread that walks is Python that computes; from some thousand entries on, the loop would wait for it too often.
"""

from __future__ import annotations

import os
from typing import Final

import msgspec

from pycontainerd.errors import Unknown
from pycontainerd.snapshots import trees
from pycontainerd.snapshots.model import Usage
from pycontainerd.snapshots.tree_messages import Copy, Done, Failed, Measure, Remove, Request, decode_reply, encode
from pycontainerd.spawner.aio import Spawner, readable
from pycontainerd.spawner.messages import Setting
from pycontainerd.system.pipes import pipe
from pycontainerd.threads import Threads

ROLE: Final = "tree"

SMALL: Final = 1_000
"""Entries that a thread goes through in a few milliseconds."""

_REPLY_LIMIT: Final = 4_096


class Trees:
    """Measures, copies and removes trees. Without a *spawner* all of it happens in threads."""

    def __init__(self, threads: Threads, spawner: Spawner | None = None) -> None:
        self._threads = threads
        self._spawner = spawner

    async def usage(self, path: str) -> Usage:
        """What the tree takes of the disk. Raises OSError."""
        try:
            return await self._threads.run(trees.usage, path, self._most)
        except trees.TooLarge:
            done = await self._in_worker(Measure(path))
            return Usage(done.size, done.inodes)

    async def remove(self, path: str) -> None:
        """Removes the tree. Raises OSError."""
        try:
            await self._threads.run(trees.remove, path, self._most)
        except trees.TooLarge:
            await self._in_worker(Remove(path))

    async def copy(self, path: str, target: str) -> None:
        """Copies the tree. Raises OSError."""
        try:
            await self._threads.run(trees.usage, path, self._most)
        except trees.TooLarge:
            await self._in_worker(Copy(path, target))
        else:
            await self._threads.run(trees.copy, path, target)

    @property
    def _most(self) -> int | None:
        return SMALL if self._spawner is not None else None

    async def _in_worker(self, request: Request) -> Done:
        if self._spawner is None:
            raise Unknown("no spawner to go through a large tree")
        with pipe() as (reading, writing), pipe() as (watched, held):
            fds = [writing.fd, watched.fd]
            async with self._spawner.worker(ROLE, Setting.of_worker(ROLE), encode(request), fds) as worker:
                writing.close()
                await readable(reading.fd)
                data = os.read(reading.fd, _REPLY_LIMIT)
                status = None if data else await worker.wait()
                held.close()
        if not data:
            raise Unknown(f"the worker that went through {request.path} has ended with status {status}")
        try:
            reply = decode_reply(data)
        except msgspec.DecodeError as error:
            raise Unknown(f"the worker that went through {request.path} answered nonsense: {error}") from error
        if isinstance(reply, Failed):
            raise OSError(reply.number, os.strerror(reply.number), reply.reason or request.path)
        return reply
