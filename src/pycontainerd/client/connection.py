"""Connecting to a daemon."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from pycontainerd.client.client import Client
from pycontainerd.client.session import Session
from pycontainerd.errors import NotFound, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycontainerd.rpc.blocking_driver import BlockingDriver


class NoSocket(NotFound):
    """There is nothing at the address: no call was made."""


async def connected(
    driver: BlockingDriver,
    address: str,
    *,
    namespace: str,
    timeout_s: float | None = None,
    remaining_s: Callable[[], float | None] = lambda: None,
) -> Client:
    """A client of the daemon at the unix socket *address*, connected over *driver*.

    Raises NoSocket if there is no such path, Unavailable if nobody answers there.
    """
    from pycontainerd.rpc.grpc.client import GrpcClient

    path = address.removeprefix("unix://")
    try:
        os.stat(path)
    except OSError as error:
        text = f"cannot access socket {path}: stat {path}: {(error.strerror or '').lower()}"
        raise NoSocket(text, bare=True) from error
    connection = GrpcClient(driver)
    try:
        await driver.connect_unix(path, connection, timeout_s=timeout_s)
    except OSError as error:
        raise Unavailable(
            f'connection error: desc = "transport: Error while dialing: dial unix {path}: connect: {_text(error)}"',
            hint="is the daemon running?",
            bare=True,
        ) from error
    return Client(Session(connection, driver, namespace, remaining_s=remaining_s))


def _text(error: OSError) -> str:
    if error.errno == errno.EACCES:
        return "permission denied"
    return os.strerror(error.errno or 0).lower()
