"""Bytes over a stream: the receiver grants a window of them, the sender sends no more than was granted.

`WindowUpdate` one way, `Data` the other; the sender ends by sending no more.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Final

from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError

from pycontainerd.api.containerd.types.transfer_pb2 import Data, WindowUpdate
from pycontainerd.errors import InvalidArgument, Unknown
from pycontainerd.streaming.manager import Stream

WINDOW: Final = 1 << 20
"""Bytes that a sender may be ahead of us. The original grants 65,536, which makes it wait for us at every piece."""

PART: Final = 32_768
"""Bytes of one Data message at most; what the original sends and expects."""

DATA: Final = Data.DESCRIPTOR.full_name
WINDOW_UPDATE: Final = WindowUpdate.DESCRIPTOR.full_name


async def received(stream: Stream, *, window: int = WINDOW) -> AsyncIterator[bytes]:
    """The bytes that the client sends, in pieces, until it sends no more.

    Raises InvalidArgument if it sends more than it may, or anything but data; Cancelled if it goes away.
    """
    granted = 0
    while True:
        if granted <= window // 2:
            await stream.send(WindowUpdate(update=window - granted))
            granted = window
        message = await stream.receive()
        if message is None:
            return
        piece = _data(message)
        granted -= len(piece)
        if granted < 0:
            raise InvalidArgument(f"stream: {-granted} bytes more than were granted")
        if piece:
            yield piece


async def send(stream: Stream, data: AsyncIterable[bytes]) -> None:
    """Sends *data* as the client grants it, and then ends the stream. Raises Unknown if it grants no more."""
    granted = 0
    async for piece in data:
        view = memoryview(piece)
        while view:
            while granted <= 0:
                granted += await _grant(stream)
            part = view[: min(PART, granted)]
            view = view[len(part) :]
            granted -= len(part)
            await stream.send(Data(data=bytes(part)))
    stream.close()


async def _grant(stream: Stream) -> int:
    message = await stream.receive()
    if message is None:
        raise Unknown("stream: the client ended it before it had all data")
    if message.type_url != WINDOW_UPDATE:
        raise InvalidArgument(f"stream: unexpected {message.type_url}")
    try:
        return max(WindowUpdate.FromString(message.value).update, 0)
    except DecodeError as error:
        raise InvalidArgument(f"stream: {error}") from error


def _data(message: Any) -> bytes:
    if message.type_url != DATA:
        raise InvalidArgument(f"stream: unexpected {message.type_url}")
    try:
        return Data.FromString(message.value).data
    except DecodeError as error:
        raise InvalidArgument(f"stream: {error}") from error
