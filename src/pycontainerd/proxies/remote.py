"""A server that need not be there yet: one connection, made when it is first needed and again after it was lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from google.protobuf.message import Message

from pycontainerd.errors import Unavailable
from pycontainerd.rpc.asyncio_driver import AsyncioDriver
from pycontainerd.rpc.call import Metadata
from pycontainerd.rpc.client import ClientStream
from pycontainerd.rpc.grpc.client import GrpcClient
from pycontainerd.rpc.service import Method

NAMESPACE_HEADER: Final = "containerd-namespace"


class _Connection(GrpcClient):
    """A connection that remembers that it was lost."""

    is_lost = False

    def lost(self, error: BaseException | None) -> None:
        self.is_lost = True
        super().lost(error)


class Remote:
    """The server at the unix socket *address*, called in the namespace of whoever calls; empty for none."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._path = address.removeprefix("unix://")
        self._client: _Connection | None = None
        self._connecting = asyncio.Lock()

    async def unary(self, method: Method, request: Message, namespace: str) -> Any:
        """Raises Unavailable if nobody answers there, else what the server answers."""
        client = await self._connected()
        return await client.unary(method, request, metadata=_headers(namespace))

    @asynccontextmanager
    async def streaming(self, method: Method, namespace: str) -> AsyncIterator[ClientStream]:
        """A call that sends or receives any number of messages; left early, it is cancelled."""
        client = await self._connected()
        async with client.stream(method, metadata=_headers(namespace)) as stream:
            yield stream

    async def replies(self, method: Method, request: Message, namespace: str) -> AsyncIterator[Any]:
        """The replies to the one *request* of a call that streams them."""
        async with self.streaming(method, namespace) as stream:
            await stream.send(request)
            await stream.close_send()
            async for reply in stream:
                yield reply

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _connected(self) -> _Connection:
        async with self._connecting:
            if self._client is None or self._client.is_lost:
                driver = AsyncioDriver()
                client = _Connection(driver)
                try:
                    await driver.connect_unix(self._path, client)
                except OSError as error:
                    reason = (error.strerror or str(error)).lower()
                    raise Unavailable(
                        f'connection error: desc = "transport: Error while dialing: dial unix {self._path}: {reason}"',
                        bare=True,
                    ) from error
                self._client = client
            return self._client


def _headers(namespace: str) -> Metadata:
    return ((NAMESPACE_HEADER, namespace),) if namespace else ()
