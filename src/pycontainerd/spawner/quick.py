"""Asking a spawner that runs for a shim, from a program that is started for each container and must be quick.

What `client` does over the vocabulary of `messages` takes 30 ms to load; this takes 1. It knows one request, and from
the answer only whether it was granted.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import Any, Final

from pycontainerd.spawner.key import DEFAULT_ROLES, spawner_key
from pycontainerd.spawner.limits import soft_limits

REPLY_SIZE: Final = 64 << 10


def start_shim(
    socket_dir: str, request: bytes, fds: Sequence[int], *, directory: str, title: Sequence[str], oom_raise: int
) -> bool:
    """Starts a shim by the spawner of *socket_dir*; False if none runs there or it refuses: `client` then tells why."""
    setting = {
        "environment": None,
        "directory": directory,
        "title": title,
        "oom_raise": oom_raise,
        "soft_limits": soft_limits(),
    }
    data = packed({"type": "StartShim", "setting": setting, "request": request})
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        try:
            connection.connect(os.path.join(socket_dir, f"spawner-{spawner_key(DEFAULT_ROLES)}"))
            socket.send_fds(connection, [data], list(fds))
            reply, descriptors, _, _ = socket.recv_fds(connection, REPLY_SIZE, 1)
        except OSError:
            return False
    for descriptor in descriptors:
        os.close(descriptor)
    return b"Started" in reply


def packed(value: Any) -> bytes:
    """*value* in MessagePack: None, numbers from 0, text, bytes, sequences and dictionaries of these."""
    match value:
        case None:
            return b"\xc0"
        case int():
            return b"\xd3" + value.to_bytes(8, "big", signed=True)
        case str():
            text = value.encode(errors="surrogateescape")
            return b"\xdb" + len(text).to_bytes(4, "big") + text
        case bytes():
            return b"\xc6" + len(value).to_bytes(4, "big") + value
        case dict():
            pairs = (packed(part) for pair in value.items() for part in pair)
            return b"\xdf" + len(value).to_bytes(4, "big") + b"".join(pairs)
        case _:
            return b"\xdd" + len(value).to_bytes(4, "big") + b"".join(packed(part) for part in value)
