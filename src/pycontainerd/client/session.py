"""What all services of a client share: the connection, and what every call says about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from pycontainerd.rpc.call import Metadata
    from pycontainerd.rpc.client import Client as RpcClient
    from pycontainerd.rpc.client import ClientStream
    from pycontainerd.rpc.driver import Driver
    from pycontainerd.rpc.service import Method

NAMESPACE_HEADER = "containerd-namespace"
LEASE_HEADER = "containerd-lease"


class Session:
    """A connection with the headers of its calls.

    *driver* is what the connection runs on. *remaining_s* gives the seconds until the caller's deadline, None
    for no deadline.
    """

    __slots__ = ("_remaining_s", "driver", "lease", "metadata", "namespace", "rpc")

    def __init__(
        self,
        rpc: RpcClient,
        driver: Driver,
        namespace: str,
        lease: str = "",
        remaining_s: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.rpc = rpc
        self.driver = driver
        self.namespace = namespace
        self.lease = lease
        self._remaining_s = remaining_s
        headers = [(NAMESPACE_HEADER, namespace)] if namespace else []
        if lease:
            headers.append((LEASE_HEADER, lease))
        self.metadata: Metadata = tuple(headers)

    def within(self, *, namespace: str | None = None, lease: str | None = None) -> Session:
        """The same connection, another namespace or lease."""
        return Session(
            self.rpc,
            self.driver,
            self.namespace if namespace is None else namespace,
            self.lease if lease is None else lease,
            self._remaining_s,
        )

    async def unary(self, method: Method, request: Message) -> Any:
        """Calls *method*. Raises `errors.Error` as the daemon answers."""
        return await self.rpc.unary(method, request, metadata=self.metadata, timeout_s=self._remaining_s())

    def stream(self, method: Method) -> ClientStream:
        """Begins a streaming call of *method*."""
        return self.rpc.stream(method, metadata=self.metadata, timeout_s=self._remaining_s())


class Api:
    """Base of the services of a client."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        self._session = session


async def received(stream: ClientStream, request: Message) -> Any:
    """Sends the one *request* of a call that streams its answers."""
    await stream.send(request)
    await stream.close_send()
    return stream
