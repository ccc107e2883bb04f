"""The events services: gRPC for clients, ttrpc for shims."""

from __future__ import annotations

from collections.abc import AsyncIterator

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.events import v1_pb2 as events_pb2
from pycontainerd.api.containerd.services.events.ttrpc import v1_pb2 as ttrpc_pb2
from pycontainerd.errors import Error, InvalidArgument, Unknown
from pycontainerd.events.exchange import Exchange
from pycontainerd.events.model import Envelope
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service


class EventsService(Service):
    """`containerd.services.events.v1.Events`."""

    contract = events_pb2.DESCRIPTOR.services_by_name["Events"]

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def publish(self, request: events_pb2.PublishRequest, call: Call) -> Empty:
        try:
            namespace = call.namespace
        except Error as error:
            raise error.within("failed publishing event") from None
        self._exchange.publish(namespace, request.topic, request.event)
        return Empty()

    async def forward(self, request: events_pb2.ForwardRequest, call: Call) -> Empty:
        if not request.HasField("envelope"):
            raise InvalidArgument("forward of an event: the request has no envelope")
        self._exchange.forward(Envelope(request.envelope))
        return Empty()

    async def subscribe(self, request: events_pb2.SubscribeRequest, call: Call) -> AsyncIterator[types_pb2.Envelope]:
        try:
            async with self._exchange.subscribe(request.filters) as envelopes:
                async for envelope in envelopes:
                    yield envelope.wire
        except InvalidArgument as error:
            # The original loses the kind of this error on its way out, but not its text.
            text = f"subscription error: failed parsing subscription filters: {error.wire_text()}"
            raise Unknown(text) from None


class ShimEventsService(Service):
    """`containerd.services.events.ttrpc.v1.Events`: how shims deliver the events of their tasks."""

    contract = ttrpc_pb2.DESCRIPTOR.services_by_name["Events"]

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def forward(self, request: ttrpc_pb2.ForwardRequest, call: Call) -> Empty:
        if not request.HasField("envelope"):
            raise InvalidArgument("forward of an event: the request has no envelope")
        self._exchange.forward_from_shim(Envelope(request.envelope))
        return Empty()
