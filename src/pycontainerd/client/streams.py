"""Streams between client and daemon, named so that a call like Transfer can use them; see the wire reference,
5.
"""

from __future__ import annotations

import base64
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, Message

from pycontainerd.api.containerd.services.streaming import v1_pb2 as streaming_pb2
from pycontainerd.api.containerd.types import transfer_pb2
from pycontainerd.client.session import Session
from pycontainerd.errors import DataLoss
from pycontainerd.rpc.client import ClientStream
from pycontainerd.rpc.service import methods_of

_METHODS: Final = methods_of(streaming_pb2.DESCRIPTOR.services_by_name["Streaming"])

PART: Final = 32768
"""Bytes that one Data message may hold."""


def pack(message: Message) -> Any:
    """*message* as an Any whose type is its bare name: no prefix, as this API wants it."""
    return Any(type_url=message.DESCRIPTOR.full_name, value=message.SerializeToString())


def new_id(prefix: str, namespace: str) -> str:
    """A name that no other stream has."""
    return f"{prefix}-{namespace}-{base64.urlsafe_b64encode(os.urandom(10)).decode().rstrip('=')}"


@asynccontextmanager
async def opened(session: Session, stream_id: str) -> AsyncIterator[ClientStream]:
    """A stream that the daemon knows as *stream_id* as long as the block lasts. Raises AlreadyExists."""
    async with session.stream(_METHODS["stream"]) as stream:
        await stream.send(pack(streaming_pb2.StreamInit(id=stream_id)))
        async for _ in stream:
            yield stream
            return
        raise DataLoss(f"stream {stream_id}: the daemon ended it without an answer")


async def send_bytes(stream: ClientStream, data: AsyncIterator[bytes]) -> None:
    """Sends *data* as the other end grants it, then ends the stream.

    Stops when the other end wants no more: why, it says in its answer to the call that refers to the stream.
    """
    window = 0
    async for chunk in data:
        view = memoryview(chunk)
        while view:
            while window <= 0:
                granted = await _grant(stream)
                if granted is None:
                    return
                window += granted
            part, view = view[: min(PART, window)], view[min(PART, window) :]
            window -= len(part)
            await stream.send(pack(transfer_pb2.Data(data=bytes(part))))
    await stream.close_send()


async def _grant(stream: ClientStream) -> int | None:
    """Bytes that may be sent further, or None when the other end has ended the stream."""
    async for message in stream:
        try:
            return int(transfer_pb2.WindowUpdate.FromString(message.value).update)
        except DecodeError as error:
            raise DataLoss("the daemon sent a window update that can't be read") from error
    return None


async def receive_progress(stream: ClientStream, tell: Callable[[transfer_pb2.Progress], None]) -> None:
    """Hands every progress message to *tell* until the daemon ends the stream."""
    async for message in stream:
        tell(transfer_pb2.Progress.FromString(message.value))
