"""Logs of our own kind (`cri-log://`): who writes them, and how they are read along and begun anew.

A shim of ours writes them itself. Every other one is given a logging program of ours instead, which writes the same and
answers the same calls, on a socket of its own beside those of the shims: `<sha256 of address/namespace/id[/exec]/log>`.
Neither needs the daemon while it writes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import quote, urlencode

import msgspec

from pycontainerd.api.pycontainerd.services.logs import v1_pb2 as logs_pb2
from pycontainerd.errors import Error, FailedPrecondition, NotFound, Unimplemented, Unknown
from pycontainerd.plugin.sections import DEFAULT_SOCKET_DIR
from pycontainerd.rpc.service import methods_of
from pycontainerd.runtime.bootstrap import TTRPC, Bootstrap
from pycontainerd.runtime.connection import ShimConnection, connect
from pycontainerd.runtime.executable import Surroundings
from pycontainerd.runtime.model import Stdio
from pycontainerd.runtime.shim import Shim
from pycontainerd.shim.address import socket_path
from pycontainerd.shim.logs.target import LogTarget
from pycontainerd.shim.stdio import uri

PROGRAM: Final = "containerd-cri-log"

_METHODS: Final = methods_of(logs_pb2.DESCRIPTOR.services_by_name["Logs"])


class Outputs:
    """The logs of a daemon's tasks."""

    def __init__(self, about: Surroundings) -> None:
        self._about = about

    async def arranged(self, shim: Shim, exec_id: str, stdio: Stdio) -> Stdio:
        """*stdio* as *shim* understands it: a log of our kind goes through our program if it writes none itself.

        Raises Unknown for a log that can't be meant.
        """
        if not stdio.stdout.startswith(f"{uri.CRI_LOG}://"):
            return stdio
        target = uri.parse(stdio.stdout)
        LogTarget.parse(target.path, target.options)
        if await _writes_logs(shim):
            return stdio
        options = {"path": target.path, "socket": self._socket(shim, exec_id), **target.options}
        through = f"{uri.BINARY}://{quote(_program(self._about))}?{urlencode(options)}"
        return msgspec.structs.replace(stdio, stdout=through, stderr="" if stdio.terminal else through)

    async def reopen(self, shim: Shim, exec_id: str = "") -> None:
        """Begins the log of a process anew at its path, since its file was moved.

        Raises NotFound, FailedPrecondition if its output goes to no log of ours.
        """
        request = logs_pb2.ReopenRequest(id=shim.id, exec_id=exec_id)
        async with self._connected(shim, exec_id) as connection:
            await connection.unary(_METHODS["reopen"], request)

    @asynccontextmanager
    async def followed(
        self, shim: Shim, exec_id: str = "", *, backlog: int = 0
    ) -> AsyncIterator[AsyncIterator[logs_pb2.Output]]:
        """What a process writes from now on, as long as the block lasts.

        Reading raises ResourceExhausted once more than *backlog* bytes (0: 1 MiB) wait. Raises as `reopen`.
        """
        request = logs_pb2.FollowRequest(id=shim.id, exec_id=exec_id, backlog=backlog)
        async with (
            self._connected(shim, exec_id) as connection,
            connection.stream(_METHODS["follow"]) as stream,
        ):
            await stream.send(request)
            await stream.close_send()
            messages = aiter(stream)
            await anext(messages)  # the sign that nothing is missed from here on
            yield messages

    @asynccontextmanager
    async def _connected(self, shim: Shim, exec_id: str) -> AsyncIterator[ShimConnection]:
        """A connection of its own, to whoever writes the log."""
        if await _writes_logs(shim):
            connection = await connect(shim.bootstrap)
        else:
            connection = await self._program_of(shim, exec_id)
        try:
            yield connection
        finally:
            await connection.close()

    async def _program_of(self, shim: Shim, exec_id: str) -> ShimConnection:
        path = self._socket(shim, exec_id)
        try:
            return await connect(Bootstrap(shim.api.version, f"unix://{path}", TTRPC))
        except Unknown as error:
            raise FailedPrecondition(f"the output of {exec_id or shim.id} goes to no log of ours") from error

    def _socket(self, shim: Shim, exec_id: str) -> str:
        about = self._about
        name = "/".join(filter(None, (shim.id, exec_id, "log")))
        return socket_path(about.socket_dir or DEFAULT_SOCKET_DIR, about.address, shim.namespace, name)


async def _writes_logs(shim: Shim) -> bool:
    """Whether the shim knows the calls, and with them the kind of log."""
    try:
        await shim.connection.unary(_METHODS["reopen"], logs_pb2.ReopenRequest())
    except NotFound:
        return True
    except Unimplemented:
        return False
    except Error as error:
        raise error.within(f"ask shim {shim.id} for its logs") from None
    return True


def _program(about: Surroundings) -> str:
    for directory in (os.path.dirname(about.publish_binary), os.path.dirname(os.path.abspath(sys.executable))):
        path = os.path.join(directory, PROGRAM)
        if os.access(path, os.X_OK):
            return path
    raise Unknown(f"logging program {PROGRAM} is not installed beside {about.publish_binary}")
