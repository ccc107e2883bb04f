"""What the daemon and a worker that applies a layer say to each other, one MessagePack message a packet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from pycontainerd.mounts.model import Mount

SIZE_LIMIT: Final = 128 * 1024
DEVICES_LIMIT: Final = 1024
"""Device nodes that one layer may bring."""


class ApplyRequest(msgspec.Struct, frozen=True):
    """Apply the stream in the first descriptor to *mounts*; the second is the socket for replies, the third the pipe
    with whose writing end the worker ends.

    *sniff*: the stream may be compressed. *sync*: bring the files to disk before answering.
    """

    mounts: tuple[Mount, ...]
    sniff: bool = True
    sync: bool = False
    progress_bytes: int = 4 << 20


class Progress(msgspec.Struct, frozen=True, tag=True):
    """So many bytes of the (compressed) stream are read."""

    read: int


class DeviceWanted(msgspec.Struct, frozen=True, tag=True):
    """A device node that the worker may not make; the directory comes with the packet. The answer is `DeviceMade`."""

    name: bytes
    mode: int
    device: int


class DeviceMade(msgspec.Struct, frozen=True, tag=True):
    """The answer to `DeviceWanted`; *error* is an error number, 0 if there was none."""

    error: int = 0


class Applied(msgspec.Struct, frozen=True, tag=True):
    """Done: digest and size of the plain stream."""

    digest: str
    size: int
    entries: int
    warnings: tuple[str, ...] = ()


class Failed(msgspec.Struct, frozen=True, tag=True):
    """Not done, and why."""

    reason: str


Reply = Progress | DeviceWanted | Applied | Failed

_encoder: Final = msgspec.msgpack.Encoder()
_requests: Final = msgspec.msgpack.Decoder(ApplyRequest)
_replies: Final = msgspec.msgpack.Decoder(Reply)
_answers: Final = msgspec.msgpack.Decoder(DeviceMade)


def encode(message: ApplyRequest | Reply | DeviceMade) -> bytes:
    return _encoder.encode(message)


def decode_request(data: bytes) -> ApplyRequest:
    """Raises msgspec.DecodeError, as do the two below."""
    return _requests.decode(data)


def decode_reply(data: bytes) -> Reply:
    reply: Reply = _replies.decode(data)
    return reply


def decode_answer(data: bytes) -> DeviceMade:
    return _answers.decode(data)


def bounded(texts: Sequence[str], *, each: int = 512) -> tuple[str, ...]:
    """*texts* cut so that a packet holds them: names in a layer are as long as their author likes."""
    return tuple(text[:each] for text in texts[:100])
