"""The daemon's connection to a shim, by the address that the shim gave."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final, Protocol

from pycontainerd.errors import Error, Unimplemented, Unknown
from pycontainerd.rpc.asyncio_driver import AsyncioDriver
from pycontainerd.rpc.call import Metadata
from pycontainerd.rpc.service import Method
from pycontainerd.rpc.ttrpc.client import TtrpcClientConnection
from pycontainerd.runtime.bootstrap import GRPC, Bootstrap
from pycontainerd.runtime.task_api import Caller

DIAL_S: Final = 100.0
"""How long a shim may take to accept a connection, as in the original."""

_VIRTUAL: Final = ("vsock", "hvsock")


class ShimConnection(Caller, Protocol):
    """A client of a shim that also tells when the shim is gone."""

    def stream(self, method: Method, *, metadata: Metadata = (), timeout_s: float | None = None) -> Any:
        """Begins a call with several messages: a stream like `rpc.client.ClientStream`."""

    async def close(self) -> None:
        """Ends the connection."""

    async def wait_closed(self) -> None:
        """Returns when the connection is lost or closed."""


async def connect(bootstrap: Bootstrap, *, timeout_s: float = DIAL_S) -> ShimConnection:
    """Connects to the shim at *bootstrap*.

    Raises Unknown if nobody answers there, Unimplemented for an address of a kind that we can't reach.
    """
    path = socket_path(bootstrap)
    driver = AsyncioDriver()
    try:
        async with asyncio.timeout(timeout_s or None):
            if bootstrap.protocol == GRPC:
                return await _connect_grpc(driver, path)
            connection = TtrpcClientConnection(driver)
            await driver.connect_unix(path, connection)
            return connection
    except Error:
        raise
    except OSError as error:  # also a timeout
        reason = os.strerror(error.errno).lower() if error.errno else "timeout"
        raise Unknown(
            f"failed to create {_shown(bootstrap)} connection: dial unix {path}: connect: {reason}"
        ) from error


def may_live(error: Error) -> bool:
    """Whether `connect` raised *error* for another reason than that no shim is there: it has no time, or we no room."""
    cause = error.__cause__
    return isinstance(cause, OSError) and not isinstance(cause, ConnectionRefusedError | FileNotFoundError)


async def _connect_grpc(driver: AsyncioDriver, path: str) -> ShimConnection:
    from pycontainerd.runtime.grpc_connection import GrpcShimConnection

    connection = GrpcShimConnection(driver)
    await driver.connect_unix(path, connection)
    return connection


def socket_path(bootstrap: Bootstrap) -> str:
    """The path of the unix socket; an abstract one begins with NUL.

    Raises Unimplemented for the sockets of virtual machines, Unknown for what is no address.
    """
    address = bootstrap.address
    scheme, separator, path = address.partition("://")
    if scheme == "unix" and separator:
        return path
    if scheme in _VIRTUAL and separator:
        raise Unimplemented(f"shim at {address}: only unix sockets can be reached")
    if separator:
        raise Unknown(f"failed to create {_shown(bootstrap)} connection: unsupported protocol: {scheme}")
    return address if bootstrap.protocol == GRPC else f"\0{address}"


def _shown(bootstrap: Bootstrap) -> str:
    return "gRPC" if bootstrap.protocol == GRPC else "TTRPC"
