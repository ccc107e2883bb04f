"""A protocol served on a listening socket, unix or TCP."""

from __future__ import annotations

import functools
import logging
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pycontainerd.errors import Error, InvalidArgument
from pycontainerd.log import fields
from pycontainerd.rpc.asyncio_driver import AsyncioDriver, Certificate
from pycontainerd.rpc.asyncio_driver import Server as Serving
from pycontainerd.rpc.driver import Connection
from pycontainerd.rpc.sockets import listen_tcp, listen_unix

if TYPE_CHECKING:
    import ssl

_LOG: Final = logging.getLogger(__name__)

GRACE_S: Final = 0.2
"""Seconds that calls get to end when the daemon stops. Clients that wait for exits or events never end theirs."""


class UnixServer:
    """Serves connections of *factory*'s on the unix socket *address*, which belongs to *uid* and *gid*."""

    def __init__(
        self,
        address: str,
        driver: AsyncioDriver,
        factory: Callable[[], Connection],
        *,
        uid: int,
        gid: int,
        what: str,
    ) -> None:
        self.address = address
        self._driver = driver
        self._factory = factory
        self._uid = uid
        self._gid = gid
        self._what = what
        self._serving: Serving | None = None
        self._identity: tuple[int, int] | None = None

    async def serve(self) -> None:
        """Listens. Raises what `listen_unix` raises: a path that is too long, taken by a living daemon, no socket."""
        try:
            listener = listen_unix(self.address, uid=self._uid, gid=self._gid)
        except Error as error:
            raise error.within(f"failed to get listener for {self._what}") from error
        self._identity = _identity(self.address)
        self._serving = await self._driver.serve_unix(listener, self._factory)
        _LOG.info("serving...", extra=fields(address=self.address))

    async def stop(self) -> None:
        """Removes the socket, unless the path has come to be somebody else's meanwhile, and ends the connections."""
        serving, self._serving = self._serving, None
        if serving is None:
            return
        if _identity(self.address) == self._identity:
            os.unlink(self.address)
        await serving.shutdown(GRACE_S)


class TcpServer:
    """Serves connections of *factory*'s on `host:port`, over TLS when *tls* is given, to clients of *common_name*."""

    def __init__(
        self,
        address: str,
        driver: AsyncioDriver,
        factory: Callable[[], Connection],
        *,
        tls: ssl.SSLContext | None,
        common_name: str = "",
    ) -> None:
        self.address = address
        self._driver = driver
        self._factory = factory
        self._tls = tls
        self._common_name = common_name
        self._serving: Serving | None = None

    async def serve(self) -> None:
        """Listens. Raises OSError when the address can't be had."""
        listener = tcp_listener(self.address)
        admits = functools.partial(has_common_name, self._common_name) if self._common_name else None
        self._serving = await self._driver.serve_tcp(listener, self._factory, tls=self._tls, admits=admits)
        _LOG.info("serving...", extra=fields(address=named(listener)))

    async def stop(self) -> None:
        """Ends the connections."""
        serving, self._serving = self._serving, None
        if serving is not None:
            await serving.shutdown(GRACE_S)


def tcp_listener(address: str) -> socket.socket:
    """Listens on *address*, `host:port` or `:port`. Raises InvalidArgument for something else."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise InvalidArgument(f"listen tcp: address {address}: expected host:port", bare=True)
    return listen_tcp(host.strip("[]") or "0.0.0.0", int(port))  # noqa: S104 - all interfaces, as it was configured


def named(listener: socket.socket) -> str:
    """The address that *listener* has: with the port that the kernel chose when 0 was configured."""
    host, port, *_ = listener.getsockname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def tls_context(certificate: str, key: str, authority: str) -> ssl.SSLContext:
    """TLS of a gRPC server; with *authority* only clients whose certificates it signed may connect."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["h2"])
    if authority:
        context.load_verify_locations(authority)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def has_common_name(name: str, certificate: Certificate | None) -> bool:
    """Whether the subject of *certificate* has the common name *name*."""
    subject = (certificate or {}).get("subject", ())
    return ("commonName", name) in {attribute for relative in subject for attribute in relative}


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
