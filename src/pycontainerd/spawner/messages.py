"""The vocabulary between the spawner and those who ask it: one MessagePack message a packet, descriptors beside it.

A connection carries requests one way and for each, in order, `Started` (with a pidfd) or `Refused` the other way;
between them comes `Ended` for each worker of this connection.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final, Self

import msgspec

from pycontainerd.errors import InvalidArgument
from pycontainerd.spawner import limits

SIZE_LIMIT: Final = 160 * 1024
"""Bytes of one packet; below the send buffer that the kernel gives without being asked."""

DESCRIPTOR_LIMIT: Final = 64
_WORKERS_OOM_RAISE: Final = 500

soft_limits: Final = limits.soft_limits

_NOT_FOR_CHILDREN: Final = frozenset({"NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC"})


class Setting(msgspec.Struct, frozen=True):
    """What a child finds. *oom_raise* is added to the oom score of the spawner; *soft_limits* are by RLIMIT_*."""

    environment: dict[str, str] | None
    """None: the spawner's is left as it is, and the role has its own (setting it costs 300 kB of shared pages)."""
    directory: str = "/"
    umask: int = 0o022
    title: tuple[str, ...] = ()
    oom_raise: int = 0
    soft_limits: dict[int, int] = {}

    @classmethod
    def like_mine(
        cls,
        *,
        title: Sequence[str] = (),
        directory: str = "/",
        oom_raise: int = 0,
        extra: Mapping[str, str] | None = None,
    ) -> Self:
        """Environment and limits of this process, without what service managers mean for it alone."""
        return cls(
            own_environment() | dict(extra or {}),
            directory=directory,
            title=tuple(title),
            oom_raise=oom_raise,
            soft_limits=soft_limits(),
        )

    @classmethod
    def of_worker(cls, role: str) -> Self:
        """Nothing of our environment; whoever runs out of memory ends the worker first."""
        title = ("containerd-worker", role)
        return cls({}, title=title, oom_raise=_WORKERS_OOM_RAISE, soft_limits=soft_limits())


def own_environment() -> dict[str, str]:
    """The environment of this process, without what service managers mean for it alone."""
    return {key: value for key, value in os.environ.items() if key not in _NOT_FOR_CHILDREN}


class StartShim(msgspec.Struct, frozen=True, tag=True):
    """Start a child that outlives us; its descriptors come with the packet."""

    setting: Setting
    request: bytes


class StartWorker(msgspec.Struct, frozen=True, tag=True):
    """Start a child of *role* whose end the asker learns by `Ended`."""

    role: str
    setting: Setting
    request: bytes


Request = StartShim | StartWorker


class Started(msgspec.Struct, frozen=True, tag=True):
    """The child *pid* runs; its pidfd comes with the packet."""

    pid: int


class Refused(msgspec.Struct, frozen=True, tag=True):
    """No child was started."""

    reason: str


class Ended(msgspec.Struct, frozen=True, tag=True):
    """A worker has ended; 128 + signal if one killed it."""

    pid: int
    status: int


Reply = Started | Refused | Ended

_encoder: Final = msgspec.msgpack.Encoder()
_requests: Final = msgspec.msgpack.Decoder(Request)
_replies: Final = msgspec.msgpack.Decoder(Reply)


def encode(message: Request | Reply) -> bytes:
    """One packet. Raises InvalidArgument if it is too large for one."""
    data = _encoder.encode(message)
    if len(data) > SIZE_LIMIT:
        raise InvalidArgument(f"a request to the spawner of {len(data)} bytes is larger than {SIZE_LIMIT}")
    return data


def decode_request(data: bytes) -> Request:
    """Raises msgspec.DecodeError."""
    request: Request = _requests.decode(data)
    return request


def decode_reply(data: bytes) -> Reply:
    """Raises msgspec.DecodeError."""
    reply: Reply = _replies.decode(data)
    return reply
