"""The plugins of the streams: those that are open, and the service that opens them."""

from __future__ import annotations

from pycontainerd.metadata.metadata import Metadata
from pycontainerd.plugin import types
from pycontainerd.plugin.registration import Init, plugin
from pycontainerd.streaming.manager import Streams
from pycontainerd.streaming.rows import StreamRows
from pycontainerd.streaming.service import StreamingService


@plugin(types.STREAMING, "manager", requires=[types.METADATA])
async def manager(init: Init) -> Streams:
    metadata: Metadata = init.plugins.single(types.METADATA)
    streams = Streams(StreamRows(metadata.database, metadata.leases))
    metadata.collector.register(streams)
    return streams


@plugin(types.GRPC, "streaming", requires=[types.STREAMING])
async def service(init: Init) -> StreamingService:
    return StreamingService(init.plugins.single(types.STREAMING))
