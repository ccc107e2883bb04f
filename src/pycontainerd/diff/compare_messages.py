"""What the daemon and a worker that compares trees say to each other, one MessagePack message a packet."""

from __future__ import annotations

from typing import Final

import msgspec

from pycontainerd.mounts.model import Mount

SIZE_LIMIT: Final = 8_192


class CompareRequest(msgspec.Struct, frozen=True):
    """Write what makes *older* to *newer* to the pipe that is the first descriptor; the second is the socket for
    replies, the third the pipe with whose writing end the worker ends.

    *compression* is empty, `gzip` or `zstd`. *latest_ns* bounds the times of all files.
    """

    older: tuple[Mount, ...]
    newer: tuple[Mount, ...]
    compression: str = ""
    latest_ns: int | None = None


class Begun(msgspec.Struct, frozen=True, tag=True):
    """Both trees are mounted; bytes follow in the pipe."""


class Compared(msgspec.Struct, frozen=True, tag=True):
    """Done: the digest of the plain stream, and how many bytes are in the pipe altogether."""

    plain_digest: str
    size: int


class CompareFailed(msgspec.Struct, frozen=True, tag=True):
    """Not done, and why."""

    reason: str


Reply = Begun | Compared | CompareFailed

_encoder: Final = msgspec.msgpack.Encoder()
_requests: Final = msgspec.msgpack.Decoder(CompareRequest)
_replies: Final = msgspec.msgpack.Decoder(Reply)


def encode(message: CompareRequest | Reply) -> bytes:
    return _encoder.encode(message)


def decode_request(data: bytes) -> CompareRequest:
    """Raises msgspec.DecodeError, as does the one below."""
    return _requests.decode(data)


def decode_reply(data: bytes) -> Reply:
    reply: Reply = _replies.decode(data)
    return reply
