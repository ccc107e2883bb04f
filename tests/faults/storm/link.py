"""A client's connection, which is made again whenever the daemon was killed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from pycontainerd.client.client import Client
from pycontainerd.errors import Cancelled, Error, Unavailable
from tests.faults.storm.scene import Scene

T = TypeVar("T")

Call = Callable[[Client], Awaitable[T]]

RETRY_S: Final = 0.02
"""Between two looks for what tells nobody that it has changed."""


class Lost(Exception):
    """The daemon was killed before it answered: nobody knows whether it did what was asked."""


class Link:
    """One client of the daemon of a scene."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._client: Client | None = None
        self._connecting = asyncio.Lock()

    async def ask(self, call: Call[T]) -> T:
        """The answer to one call. Raises what the daemon answers, or Lost."""
        client = await self._connected()
        try:
            answer = await call(client)
        except (Unavailable, Cancelled) as error:
            if not _is_loss(error):
                raise
            await self._drop(client)
            raise Lost(str(error)) from error
        except Error:
            self.scene.answered()
            raise
        self.scene.answered()
        return answer

    async def sure(self, call: Call[T], *, done: type[Error] | tuple[type[Error], ...] = ()) -> T | None:
        """The answer to a call that may be repeated; None if a repetition raises *done*: it was done before."""
        lost = False
        while True:
            try:
                return await self.ask(call)
            except Lost:
                lost = True
            except done:
                if not lost:
                    raise
                return None

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _connected(self) -> Client:
        async with self._connecting:
            while self._client is None:
                try:
                    self._client = await self.scene.connect()
                except OSError:
                    await asyncio.sleep(RETRY_S)  # it was killed, and nobody has noticed yet
            return self._client

    async def _drop(self, client: Client) -> None:
        if self._client is client:
            self._client = None
            await client.close()


def _is_loss(error: Error) -> bool:
    """Whether the connection has ended, and not the daemon answered that something else can't be reached."""
    return str(error).startswith(("error reading from server", "grpc: the client connection is closing"))
