"""`grpc.health.v1.Health`: a daemon that answers is serving; it knows no other services by name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from pycontainerd.api.grpc.health import v1_pb2 as health_pb2
from pycontainerd.errors import NotFound
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service

SERVING = health_pb2.HealthCheckResponse.SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class HealthService(Service):
    """Tells whether the daemon serves."""

    contract = health_pb2.DESCRIPTOR.services_by_name["Health"]

    async def check(self, request: health_pb2.HealthCheckRequest, call: Call) -> health_pb2.HealthCheckResponse:
        if request.service:
            raise NotFound("unknown service", bare=True)
        return health_pb2.HealthCheckResponse(status=SERVING)

    async def list(self, request: health_pb2.HealthListRequest, call: Call) -> health_pb2.HealthListResponse:
        return health_pb2.HealthListResponse(statuses={"": health_pb2.HealthCheckResponse(status=SERVING)})

    async def watch(
        self, request: health_pb2.HealthCheckRequest, call: Call
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Answers at once and stays open: nothing changes until the client or the daemon ends it."""
        yield health_pb2.HealthCheckResponse(status=SERVICE_UNKNOWN if request.service else SERVING)
        await asyncio.Event().wait()
