"""The Streaming service: opens a stream under a name and carries its messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar, Final

from google.protobuf.any_pb2 import Any
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError

from pycontainerd.api.containerd.services.streaming import v1_pb2 as pb
from pycontainerd.errors import Unknown
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service
from pycontainerd.streaming.known_types import is_known
from pycontainerd.streaming.manager import Stream, Streams

_INIT: Final = pb.StreamInit.DESCRIPTOR.full_name


class StreamingService(Service):
    """`containerd.services.streaming.v1.Streaming`"""

    contract: ClassVar = pb.DESCRIPTOR.services_by_name["Streaming"]

    def __init__(self, streams: Streams) -> None:
        self._streams = streams

    async def stream(self, requests: AsyncIterator[Any], call: Call) -> AsyncIterator[Any]:
        first = await anext(requests, None)
        if first is None:
            raise Unknown("EOF")
        stream = Stream(requests)
        async with self._streams.opened(call.namespace_or_empty, _name(first), stream, call.lease):
            yield Any(type_url=Empty.DESCRIPTOR.full_name)
            async for message in stream.outgoing():
                yield message


def _name(first: Any) -> str:
    """The name in the first message of a stream. Raises Unknown with the words of the original."""
    if not is_known(first.type_url):
        raise Unknown(f"type with url {first.type_url}: not found")
    if first.type_url != _INIT:
        raise Unknown(f'can\'t unmarshal type "{first.type_url}" to output "{_INIT}"')
    try:
        return pb.StreamInit.FromString(first.value).id
    except DecodeError:
        raise Unknown("proto: cannot parse invalid wire-format data") from None
