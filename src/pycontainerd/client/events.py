"""Events: what happens in a daemon, as it happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from google.protobuf.any_pb2 import Any

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.events import v1_pb2 as events_pb2
from pycontainerd.client.session import Api, received
from pycontainerd.rpc.service import methods_of

_METHODS: Final = methods_of(events_pb2.DESCRIPTOR.services_by_name["Events"])


class Events(Api):
    """The events of all namespaces."""

    __slots__ = ()

    @asynccontextmanager
    async def subscribe(self, *filters: str) -> AsyncIterator[AsyncIterator[types_pb2.Envelope]]:
        """The events from now on that one of *filters* matches, all without a filter."""
        async with self._session.stream(_METHODS["subscribe"]) as stream:
            yield await received(stream, events_pb2.SubscribeRequest(filters=filters))

    async def publish(self, topic: str, event: Any) -> None:
        """Sends an event in the namespace of the client."""
        await self._session.unary(_METHODS["publish"], events_pb2.PublishRequest(topic=topic, event=event))
