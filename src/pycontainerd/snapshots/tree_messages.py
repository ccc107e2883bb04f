"""What the daemon and the worker that goes through a tree say to each other: one MessagePack message each way."""

from __future__ import annotations

from typing import Final

import msgspec


class Measure(msgspec.Struct, frozen=True, tag=True):
    """Tell what the tree takes of the disk."""

    path: str


class Copy(msgspec.Struct, frozen=True, tag=True):
    """Make *target* a copy of the tree."""

    path: str
    target: str


class Remove(msgspec.Struct, frozen=True, tag=True):
    """Remove the tree."""

    path: str


Request = Measure | Copy | Remove


class Done(msgspec.Struct, frozen=True, tag=True):
    """It is done; *size* (bytes) and *inodes* are those of a measured tree."""

    size: int = 0
    inodes: int = 0


class Failed(msgspec.Struct, frozen=True, tag=True):
    """It is not: the error number and what it was about."""

    number: int
    reason: str


Reply = Done | Failed

_encoder: Final = msgspec.msgpack.Encoder()
_requests: Final = msgspec.msgpack.Decoder(Request)
_replies: Final = msgspec.msgpack.Decoder(Reply)


def encode(message: Request | Reply) -> bytes:
    return _encoder.encode(message)


def decode_request(data: bytes) -> Request:
    """Raises msgspec.DecodeError."""
    request: Request = _requests.decode(data)
    return request


def decode_reply(data: bytes) -> Reply:
    """Raises msgspec.DecodeError."""
    reply: Reply = _replies.decode(data)
    return reply
