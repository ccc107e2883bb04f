"""The plugins of the streams: those that are open, and the service that opens them."""

from __future__ import annotations

from pycontainerd.plugin import types
from pycontainerd.plugin.registration import Init, plugin
from pycontainerd.streaming.manager import Streams
from pycontainerd.streaming.service import StreamingService


@plugin(types.STREAMING, "manager", requires=[types.METADATA])
async def manager(init: Init) -> Streams:
    return Streams()


@plugin(types.GRPC, "streaming", requires=[types.STREAMING])
async def service(init: Init) -> StreamingService:
    return StreamingService(init.plugins.single(types.STREAMING))
