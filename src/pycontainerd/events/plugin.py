"""The plugins of the events: the exchange, and the services on it."""

from __future__ import annotations

from pycontainerd.events.exchange import Exchange
from pycontainerd.events.service import EventsService, ShimEventsService
from pycontainerd.plugin import types
from pycontainerd.plugin.registration import Init, plugin
from pycontainerd.rpc.service import Service


@plugin(types.EVENT, "exchange")
async def exchange(init: Init) -> Exchange:
    return Exchange(init.clock)


@plugin(types.GRPC, "events", requires=[types.EVENT])
async def events(init: Init) -> tuple[Service, ...]:
    bus: Exchange = init.plugins.single(types.EVENT)
    return EventsService(bus), ShimEventsService(bus)
