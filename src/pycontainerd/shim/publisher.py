"""Events on their way to the daemon, in the order in which they happened.

An event waits until the daemon has taken it or until it is too old: a daemon that is being restarted gets what happened
meanwhile, one that stays away does not make the shim grow. Exits are kept in the bundle besides (`exit_record`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message

from pycontainerd.api.containerd.services.events.ttrpc import v1_pb2 as events_pb2
from pycontainerd.errors import Error
from pycontainerd.rpc.service import methods_of
from pycontainerd.rpc.ttrpc.client import TtrpcClientConnection
from pycontainerd.shim.coroutines import LoopWaiter
from pycontainerd.shim.journal import Journal
from pycontainerd.shim.loop import Loop
from pycontainerd.shim.timestamp import set_timestamp
from pycontainerd.shim.transport import connect_unix

QUEUE_LIMIT: Final = 2048
CALL_S: Final = 5.0
KEPT_S: Final = 15.0
"""How long an event is tried again: five times, 1 to 5 s apart, as the original does."""

LAST_PAUSE_S: Final = 5

_FORWARD: Final = methods_of(events_pb2.DESCRIPTOR.services_by_name["Events"])["forward"]


@dataclass(slots=True)
class _Event:
    request: Message
    queued_at: float
    delivered: Callable[[], None] | None


class EventPublisher:
    """Forwards events to the daemon's ttrpc socket *address*; without an address they are dropped."""

    def __init__(self, loop: Loop, journal: Journal, namespace: str, address: str) -> None:
        self._loop = loop
        self._journal = journal
        self._namespace = namespace
        self._address = address.removeprefix("unix://")
        self._queue: deque[_Event] = deque()
        self._awake: LoopWaiter = loop.waiter()
        self._empty: LoopWaiter = loop.waiter()
        self._connection: TtrpcClientConnection | None = None

    def publish(self, topic: str, event: Message, *, delivered: Callable[[], None] | None = None) -> None:
        """Queues *event*; *delivered* is called once the daemon has taken it."""
        if not self._address:
            return
        request = events_pb2.ForwardRequest()
        envelope = request.envelope
        set_timestamp(envelope.timestamp, time.time_ns())
        envelope.namespace = self._namespace
        envelope.topic = topic
        envelope.event.type_url = event.DESCRIPTOR.full_name
        envelope.event.value = event.SerializeToString()
        if len(self._queue) >= QUEUE_LIMIT:
            self._drop_oldest()
        self._queue.append(_Event(request, self._loop.now(), delivered))
        self._awake.set(None)

    async def run(self) -> None:
        """Forwards one event after the other, until it is cancelled."""
        pause_s = 0
        while True:
            while not self._queue:
                self._empty.set(None)
                self._awake = self._loop.waiter()
                await self._awake
            event = self._queue[0]
            if await self._forward(event):
                pause_s = 0
                self._done(event)
                continue
            pause_s = min(pause_s + 1, LAST_PAUSE_S)
            self._drop_old()
            if self._queue:
                await self._loop.sleep(pause_s)

    async def flush(self, limit_s: float) -> None:
        """Waits until all is forwarded, at most *limit_s* seconds."""
        if self._queue:
            self._empty = self._loop.waiter()
            await self._loop.first_within(self._empty, limit_s)

    def rest(self) -> None:
        """Ends the connection if nothing is to be sent: it costs the daemon 4 KB. The next event makes another."""
        if self._connection is not None and not self._queue:
            self._connection.abort()
            self._connection = None

    async def close(self) -> None:
        """Ends the connection."""
        if self._connection is not None:
            await self._connection.close()

    async def _forward(self, event: _Event) -> bool:
        """Whether the daemon has taken it. A connection that is found closed is made again, once."""
        for _ in range(2):
            try:
                connection = self._connect()
            except OSError as error:
                self._journal.debug(f"events can't be forwarded: {self._address}: {error.strerror}")
                return False
            try:
                await connection.unary(_FORWARD, event.request, timeout_s=CALL_S)
            except Error as error:
                if connection.closed:
                    continue
                self._journal.error(f"failed to forward event: {error}", topic=_topic(event))
                return False
            return True
        return False

    def _connect(self) -> TtrpcClientConnection:
        if self._connection is None or self._connection.closed:
            connection = TtrpcClientConnection(self._loop)
            connect_unix(self._loop, self._address, connection)
            self._connection = connection
        return self._connection

    def _done(self, event: _Event) -> None:
        if self._queue and self._queue[0] is event:
            self._queue.popleft()
        if event.delivered is not None:
            try:
                event.delivered()
            except OSError as error:
                self._journal.error(f"that an event was delivered can't be kept: {error}", topic=_topic(event))

    def _drop_old(self) -> None:
        too_old = self._loop.now() - KEPT_S
        while self._queue and self._queue[0].queued_at < too_old:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        event = self._queue.popleft()
        self._journal.error("an event was dropped: the daemon has not taken it", topic=_topic(event))


def _topic(event: _Event) -> str:
    topic: str = event.request.envelope.topic  # type: ignore[attr-defined]
    return topic
