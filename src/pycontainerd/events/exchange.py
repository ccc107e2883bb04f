"""The exchange: publishers in, subscriptions out, in this process and without waiting.

Who publishes never waits for who listens. A subscription's queue is not bounded by the reader's pace, as clients of
the original expect, but by `QUEUE_LIMIT` and `QUEUE_BYTES`: a reader that is that far behind is dead, and is ended with
an error instead of filling the daemon's memory (the original's queue grows for ever).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

from google.protobuf.message import Message

from pycontainerd.clock import Clock
from pycontainerd.errors import InvalidArgument, ResourceExhausted
from pycontainerd.events.model import Envelope, check, check_topic
from pycontainerd.events.once import Once
from pycontainerd.rpc.call import check_identifier

QUEUE_LIMIT: Final = 131_072
"""Envelopes that wait for one subscriber; about 50 MB, as the envelopes themselves are shared by all queues."""

QUEUE_BYTES: Final = 64 << 20
"""The same in bytes on the wire: clients may publish events as large as a message."""


class Filter(Protocol):
    """What the exchange needs of a compiled list of filters."""

    def matches(self, subject: Envelope, /) -> bool: ...


class Subscription(AsyncIterator[Envelope]):
    """The envelopes for one reader, in the order in which they were published."""

    def __init__(self, wanted: Filter | None, limit: int, size_limit: int) -> None:
        self._wanted = wanted
        self._limit = limit
        self._size_limit = size_limit
        self._queue: deque[Envelope] = deque()
        self._size = 0
        self._reader: asyncio.Future[None] | None = None
        self._overrun = False

    def offer(self, envelope: Envelope) -> None:
        """Queues *envelope* if the filters let it pass."""
        if self._overrun or (self._wanted is not None and not self._wanted.matches(envelope)):
            return
        # One that waits alone may have any size: its reader is not behind.
        if self._queue and (len(self._queue) >= self._limit or self._size + envelope.size > self._size_limit):
            self._overrun = True
            self._queue.clear()
        else:
            self._queue.append(envelope)
            self._size += envelope.size
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def __anext__(self) -> Envelope:
        while not self._queue:
            if self._overrun:
                raise ResourceExhausted(
                    f"subscription ended: {self._limit} events or {self._size_limit} bytes wait for their reader"
                )
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        envelope = self._queue.popleft()
        self._size -= envelope.size
        return envelope


class Exchange:
    """Fans out what happened. Belongs to one event loop; not for other threads."""

    def __init__(self, clock: Clock, *, queue_limit: int = QUEUE_LIMIT, queue_bytes: int = QUEUE_BYTES) -> None:
        self._clock = clock
        self._queue_limit = queue_limit
        self._queue_bytes = queue_bytes
        self._subscriptions: dict[Subscription, None] = {}
        self._once = Once()

    def publish(self, namespace: str, topic: str, event: Message) -> None:
        """Stamps *event* and hands it to all subscriptions. Raises InvalidArgument for a bad namespace or topic."""
        try:
            check_identifier(namespace)
        except InvalidArgument as error:
            raise error.within("failed publishing event: namespace validation") from None
        check_topic(topic)
        if self._subscriptions:
            self._fan_out(Envelope.of(namespace, topic, event, self._clock.now_ns()))

    def forward(self, envelope: Envelope) -> None:
        """Hands an envelope that was made elsewhere to all subscriptions. Raises InvalidArgument if it is malformed."""
        check(envelope)
        self._fan_out(envelope)

    def forward_from_shim(self, envelope: Envelope) -> bool:
        """Like `forward`, but tells each end of a task once; returns whether it was told now."""
        check(envelope)
        if not self._once.first(envelope):
            return False
        self._fan_out(envelope)
        return True

    def publish_once(self, namespace: str, topic: str, event: Message) -> bool:
        """Like `publish`, for the end of a task that its shim may tell as well; returns whether it was told now."""
        return self.forward_from_shim(Envelope.of(namespace, topic, event, self._clock.now_ns()))

    @asynccontextmanager
    async def subscribe(self, filters: Sequence[str] = ()) -> AsyncIterator[AsyncIterator[Envelope]]:
        """What is published from now on in all namespaces and passes one of *filters*, until the block is left.

        Raises InvalidArgument if a filter doesn't parse. The iterator raises ResourceExhausted when its reader is
        too far behind.
        """
        subscription = Subscription(_compiled(filters), self._queue_limit, self._queue_bytes)
        self._subscriptions[subscription] = None
        try:
            yield subscription
        finally:
            del self._subscriptions[subscription]

    def _fan_out(self, envelope: Envelope) -> None:
        for subscription in self._subscriptions:
            subscription.offer(envelope)


def _compiled(filters: Iterable[str]) -> Filter | None:
    wanted = list(filters)
    if not wanted:
        return None
    from pycontainerd.metadata import filters as language

    return language.compile(wanted)
