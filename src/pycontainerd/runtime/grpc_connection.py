"""The connection to a shim that serves gRPC instead of ttrpc; loaded when the first such shim starts."""

from __future__ import annotations

import asyncio

from pycontainerd.rpc.driver import Driver
from pycontainerd.rpc.grpc.client import GrpcClient


class GrpcShimConnection(GrpcClient):
    """A gRPC client that also tells when its server is gone."""

    def __init__(self, driver: Driver) -> None:
        super().__init__(driver)
        self._closed = asyncio.Event()

    async def wait_closed(self) -> None:
        """Returns when the connection is lost or closed."""
        await self._closed.wait()

    async def close(self) -> None:
        self._closed.set()
        await super().close()

    def lost(self, error: BaseException | None) -> None:
        super().lost(error)
        self._closed.set()
