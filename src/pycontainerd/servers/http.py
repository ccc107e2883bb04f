"""A server of plain HTTP/1.1 for the two endpoints that people look at by hand: debug and metrics.

GET only, one answer a request, connections kept until the client closes; a request is bounded in size and time. See
RFC 9112.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

from msgspec import Struct

from pycontainerd.log import fields
from pycontainerd.rpc.sockets import listen_unix
from pycontainerd.servers.stream import named, tcp_listener

_LOG: Final = logging.getLogger(__name__)

REQUEST_LIMIT: Final = 16 << 10
IDLE_S: Final = 60.0


class Answer(Struct, frozen=True):
    """A body and what it is."""

    body: str
    content_type: str


Routes = Mapping[str, Callable[[], Answer | Awaitable[Answer]]]
"""What answers a GET of a path; every other path is not found."""


class HttpServer:
    """Serves *routes* on *address*: a path is a unix socket of *uid* and *gid*, everything else `host:port`."""

    def __init__(self, address: str, routes: Routes, *, uid: int = 0, gid: int = 0) -> None:
        self.address = address
        self._routes = routes
        self._uid = uid
        self._gid = gid
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()

    async def serve(self) -> None:
        """Listens."""
        listener = self._listener()
        address = self.address
        if listener.family == socket.AF_UNIX:
            self._server = await asyncio.start_unix_server(self._client, sock=listener, limit=REQUEST_LIMIT)
        else:
            self._server = await asyncio.start_server(self._client, sock=listener, limit=REQUEST_LIMIT)
            address = named(listener)
        _LOG.info("serving...", extra=fields(address=address))

    async def stop(self) -> None:
        """Takes no more clients, cuts off those that there are, removes the socket."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for writer in tuple(self._clients):
            writer.transport.abort()
        if "/" in self.address:
            with suppress(FileNotFoundError):
                os.unlink(self.address)

    def _listener(self) -> socket.socket:
        if "/" in self.address:
            return listen_unix(self.address, uid=self._uid, gid=self._gid)
        return tcp_listener(self.address)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            while await self._request(reader, writer):
                pass
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away, or has nothing more to ask
        finally:
            self._clients.discard(writer)
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one request. Whether the connection goes on."""
        try:
            async with asyncio.timeout(IDLE_S):
                head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            writer.write(_response(431, Answer("request header fields too large\n", "text/plain"), keep=False))
            await writer.drain()
            return False
        line, *headers = head.decode("latin-1").split("\r\n")
        keep = line.endswith("HTTP/1.1") and not any(
            header.lower().startswith("connection: close") for header in headers
        )
        writer.write(_response(*await self._answer(line), keep=keep))
        await writer.drain()
        return keep

    async def _answer(self, line: str) -> tuple[int, Answer]:
        words = line.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return 400, Answer("bad request\n", "text/plain")
        if words[0] != "GET":
            return 405, Answer("method not allowed\n", "text/plain")
        route = self._routes.get(words[1].partition("?")[0])
        if route is None:
            return 404, Answer("404 page not found\n", "text/plain; charset=utf-8")
        answer = route()
        return 200, answer if isinstance(answer, Answer) else await answer


_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
}


def _response(status: int, answer: Answer, *, keep: bool) -> bytes:
    body = answer.body.encode()
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\n"
        f"Content-Type: {answer.content_type}\r\nContent-Length: {len(body)}\r\n"
        f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n"
    )
    return head.encode() + body
