"""A protocol served on a unix socket."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Final

from pycontainerd.errors import Error, InvalidArgument
from pycontainerd.log import fields
from pycontainerd.rpc.asyncio_driver import AsyncioDriver
from pycontainerd.rpc.asyncio_driver import Server as Listening
from pycontainerd.rpc.driver import Connection
from pycontainerd.rpc.sockets import listen_unix

_LOG: Final = logging.getLogger(__name__)

GRACE_S: Final = 1.0
"""Seconds that calls get to end when the daemon stops. Streams of events never end by themselves."""


class UnixServer:
    """Serves connections of *factory*'s on the socket *address*, which belongs to *uid* and *gid*."""

    def __init__(
        self, address: str, uid: int, gid: int, driver: AsyncioDriver, factory: Callable[[], Connection]
    ) -> None:
        self.address = address
        self._uid = uid
        self._gid = gid
        self._driver = driver
        self._factory = factory
        self._listening: Listening | None = None
        self._identity: tuple[int, int] | None = None

    async def serve(self) -> None:
        """Listens. Raises what `listen_unix` raises: a path that is too long, taken by a living daemon or no socket."""
        if not self.address:
            raise InvalidArgument("grpc address cannot be empty", bare=True)
        try:
            socket = listen_unix(self.address, uid=self._uid, gid=self._gid)
        except Error as error:
            raise error.within(f"failed to get listener for main endpoint {self.address}") from error
        self._identity = _identity(self.address)
        self._listening = await self._driver.serve_unix(socket, self._factory)
        _LOG.info("serving...", extra=fields(address=self.address))

    async def stop(self) -> None:
        """Stops and removes the socket, unless the path has come to be somebody else's meanwhile."""
        listening, self._listening = self._listening, None
        if listening is None:
            return
        if self._identity is not None and _identity(self.address) == self._identity:
            os.unlink(self.address)
        await listening.shutdown(GRACE_S)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
