"""Descriptors and identities over unix sockets; see unix(7)."""

from __future__ import annotations

import array
import os
import socket
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

_UCRED: Final = struct.Struct("=iII")


class Credentials(NamedTuple):
    """Who connected (or listened): as the kernel noted it then."""

    pid: int
    uid: int
    gid: int


def peer_credentials(connection: socket.socket) -> Credentials:
    """SO_PEERCRED of a connected unix socket."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return Credentials(*_UCRED.unpack(raw))


def send_with_fds(connection: socket.socket, data: bytes, descriptors: Sequence[int] = (), flags: int = 0) -> int:
    """Sends *data* with copies of *descriptors*; the number of bytes sent. On a stream it may be a part of them."""
    if not descriptors:
        return connection.send(data, flags | socket.MSG_NOSIGNAL)
    rights = array.array("i", descriptors)
    return connection.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], flags | socket.MSG_NOSIGNAL)


def receive_with_fds(
    connection: socket.socket, size: int, *, max_descriptors: int = 16, flags: int = 0
) -> tuple[bytes, list[int]]:
    """Up to *size* bytes (none at the end) and the descriptors that came along, close-on-exec; the caller owns them.

    Raises ValueError, with every descriptor closed, if data or descriptors were cut off.
    """
    room = socket.CMSG_SPACE(max_descriptors * array.array("i").itemsize)
    data, ancillary, answer, _ = connection.recvmsg(size, room, flags | socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(value[: len(value) - len(value) % descriptors.itemsize])
    if answer & (socket.MSG_CTRUNC | socket.MSG_TRUNC):
        for descriptor in descriptors:
            os.close(descriptor)
        raise ValueError("a message was longer than its reader allows")
    return data, descriptors.tolist()
