"""`ctr events`."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from pycontainerd.api.containerd import events_pb2
from pycontainerd.api.containerd.services.images import v1_pb2 as images_pb2
from pycontainerd.commands.ctr import documents, logs
from pycontainerd.commands.ctr.values import go_time
from pycontainerd.errors import Cancelled

if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = ()
RAW_ERRORS = True
USAGE = "[<filter>, ...]"

# Their messages are found by name, once these modules are loaded.
_KNOWN = (events_pb2.DESCRIPTOR, images_pb2.DESCRIPTOR)


async def run(ctx: Context) -> None:
    gc.enable()
    client = await ctx.client()
    async with client.events.subscribe(*ctx.arguments) as events:
        try:
            async for envelope in events:
                _show(envelope)
        except Cancelled:
            return


def _show(envelope: Any) -> None:
    text = ""
    if envelope.HasField("event"):
        event = _decoded(envelope.event.type_url, envelope.event.value)
        if event is None:
            return
        text = documents.dumps(documents.message_value(event), indent=None)
    sys.stdout.write(f"{go_time(envelope.timestamp)} {envelope.namespace} {envelope.topic} {text}\n")
    sys.stdout.flush()


def _decoded(type_url: str, value: bytes) -> Message | None:
    """The event, None if this program doesn't know its type or can't read it."""
    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(type_url.rpartition("/")[2])
        return message_factory.GetMessageClass(descriptor).FromString(value)
    except (KeyError, DecodeError) as error:
        logs.warning("cannot unmarshal an event from Any", error=error)
        return None
