"""Payloads of events: their types, and the fields of them that a filter may name.

Filters see what the original's generated code shows: strings by their proto name, `labels.<key>` with the rest of
the path as the key, nested messages, and bools as `true` and `false`. Numbers, times and repeated messages are
never present (wire/README.md §6).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from pycontainerd.api.containerd import events_pb2
from pycontainerd.api.containerd.services.images import v1_pb2 as images_pb2

ABSENT: Final = ("", False)

_IMAGE_EVENTS: Final = ("ImageCreate", "ImageUpdate", "ImageDelete")


@cache
def _types() -> dict[str, type[Message]]:
    """Message types by the type URL of an event: the events of the contract and the options of runc."""
    from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2

    descriptors = [
        *events_pb2.DESCRIPTOR.message_types_by_name.values(),
        *(images_pb2.DESCRIPTOR.message_types_by_name[name] for name in _IMAGE_EVENTS),
        runc_pb2.DESCRIPTOR.message_types_by_name["Options"],
    ]
    return {descriptor.full_name: GetMessageClass(descriptor) for descriptor in descriptors}


def decode(payload: AnyMessage) -> Message | None:
    """The message in *payload*, whose type URL may have a prefix; None if the type is unknown or the bytes are bad."""
    kind = _types().get(payload.type_url.rpartition("/")[2])
    if kind is None:
        return None
    try:
        return kind.FromString(payload.value)
    except DecodeError:
        return None


def field(message: Message | None, path: Sequence[str]) -> tuple[str, bool]:
    """The value at *path* in *message* as text, and whether it is present."""
    if message is None or not path or path[0] not in message.DESCRIPTOR.fields_by_name:
        return ABSENT
    value = getattr(message, path[0])
    if path[0] == "labels":
        key = ".".join(path[1:])
        return (value[key], True) if key in value else ABSENT
    match value:
        case str():
            return value, bool(value)
        case bool():
            return ("true" if value else "false"), True
        case Message() if message.HasField(path[0]):
            return field(decode(value) if isinstance(value, AnyMessage) else value, path[1:])
        case _:
            return ABSENT
