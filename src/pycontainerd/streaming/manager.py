"""The streams that are open, by namespace and name, and one of them as the daemon's side uses it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Final, Protocol

from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from pycontainerd.errors import Cancelled, Error, NotFound, Unknown

QUEUE_LIMIT: Final = 16
"""Messages that wait for a client which does not read them."""


Key = tuple[str, str]
"""Namespace and name."""


class Rows(Protocol):
    """What is written of streams that were opened with a lease; see `rows`."""

    async def add(self, key: Key, lease: str, /) -> None: ...

    async def remove(self, key: Key, /) -> None: ...

    async def missing(self, keys: Iterable[Key], /) -> list[Key]: ...


class Stream:
    """The daemon's side of an open stream: one reader, one writer at a time."""

    def __init__(self, incoming: AsyncIterator[Any]) -> None:
        self._incoming = incoming
        self._waiting: deque[Any] = deque()
        self._changed: asyncio.Future[None] | None = None
        self._ended = False

    async def receive(self) -> Any | None:
        """The client's next message; None when it sends no more. Raises Cancelled when it has gone away."""
        if self._ended:
            raise Cancelled("")
        return await anext(self._incoming, None)

    async def send(self, message: Message) -> None:
        """Sends *message*, as what its type is called; waits while the client reads no further.

        Raises Cancelled when the client has gone away.
        """
        while len(self._waiting) >= QUEUE_LIMIT and not self._ended:
            await self._change()
        if self._ended:
            raise Cancelled("")
        self._waiting.append(Any(type_url=message.DESCRIPTOR.full_name, value=message.SerializeToString()))
        self._tell()

    def close(self) -> None:
        """Ends the client's call, after what was sent to it. Nobody receives or sends any more."""
        self._ended = True
        self._tell()

    async def outgoing(self) -> AsyncIterator[Any]:
        """What is to be sent to the client, until the stream is closed."""
        while True:
            while self._waiting:
                message = self._waiting.popleft()
                self._tell()
                yield message
            if self._ended:
                return
            await self._change()

    async def _change(self) -> None:
        """Waits until the queue or the state is another; both sides may wait at once."""
        if self._changed is None:
            self._changed = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._changed)

    def _tell(self) -> None:
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set_result(None)


class Streams:
    """The streams that are open in this daemon; the collector ends those whose lease is gone."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._open: dict[Key, Stream] = {}
        self._leased: set[Key] = set()

    @asynccontextmanager
    async def opened(self, namespace: str, name: str, stream: Stream, lease: str | None = None) -> AsyncIterator[None]:
        """Lets *stream* be found in the block, also when its names are empty. Raises Unknown if the name is taken."""
        key = (namespace, name)
        if key in self._open:
            # The original answers this kind here with its text alone.
            raise Unknown("already exists")
        self._open[key] = stream
        try:
            if lease is None:
                yield
            else:
                async with self._held(key, lease):
                    yield
        finally:
            del self._open[key]
            stream.close()

    @asynccontextmanager
    async def _held(self, key: Key, lease: str) -> AsyncIterator[None]:
        await self._rows.add(key, lease)
        self._leased.add(key)
        try:
            yield
        finally:
            self._leased.discard(key)
            with suppress(Error):  # the daemon may be ending, and then the row ends as well
                await self._rows.remove(key)

    async def collect(self) -> None:
        """Ends the streams that a lease held and none holds any more."""
        if not self._leased:
            return
        for key in await self._rows.missing(tuple(self._leased)):
            if key in self._leased:
                self._open[key].close()

    def get(self, namespace: str, name: str) -> Stream:
        """Raises NotFound."""
        stream = self._open.get((namespace, name))
        if stream is None:
            raise NotFound("")
        return stream
