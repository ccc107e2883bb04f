"""What the records of containers and of sandboxes have in common: as parts of messages, and in updates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from google.protobuf.any_pb2 import Any
from msgspec import structs

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.containers import v1_pb2 as containers_pb2
from pycontainerd.containers.model import Packed, Record, Runtime
from pycontainerd.metadata import fieldmask
from pycontainerd.metadata.times import from_timestamp, to_timestamp

Message = containers_pb2.Container | types_pb2.Sandbox


R = TypeVar("R", bound=Record)


def unpack(message: Message, record: type[R], id_: str, wire: bytes, **fields: str) -> R:
    """The record that *message* is; *fields* are those that only this kind has. Its bytes are kept beside."""
    options = _packed(message.runtime.options) if message.runtime.HasField("options") else None
    return record(
        id_,
        Runtime(message.runtime.name, options),
        _packed(message.spec) if message.HasField("spec") else None,
        dict(message.labels),
        {key: _packed(message.extensions[key]) for key in message.extensions},
        from_timestamp(message.created_at),
        from_timestamp(message.updated_at),
        wire or message.SerializeToString(),
        **fields,
    )


def pack(record: Record, message: Message) -> None:
    """Sets the common fields of *message* to those of *record*."""
    message.labels.clear()
    message.labels.update(record.labels)
    message.runtime.name = record.runtime.name
    if record.runtime.options is None:
        message.runtime.ClearField("options")
    else:
        _set(message.runtime.options, record.runtime.options)
    if record.spec is None:
        message.ClearField("spec")
    else:
        _set(message.spec, record.spec)
    for key in message.extensions.keys() - record.extensions.keys():
        del message.extensions[key]
    for key, packed in record.extensions.items():
        _set(message.extensions[key], packed)
    message.created_at.CopyFrom(to_timestamp(record.created_ns))
    message.updated_at.CopyFrom(to_timestamp(record.updated_ns))


def patched(current: R, sent: R, path: str, whole: Mapping[str, str]) -> R | None:
    """*current* with what *path* names taken from *sent*; None if it names nothing that may change.

    *whole* are the fields that are replaced as they are, by their paths; labels and extensions also one by one.
    """
    if (field := whole.get(path)) is not None:
        return structs.replace(current, **{field: getattr(sent, field)})
    if (key := fieldmask.key_of(path, "labels")) is not None:
        return structs.replace(current, labels=fieldmask.patched(current.labels, sent.labels, [path]))
    if (key := fieldmask.key_of(path, "extensions")) is not None:
        value = sent.extensions.get(key, Packed())
        return structs.replace(current, extensions={**current.extensions, key: value})
    return None


def _packed(message: Any) -> Packed:
    return Packed(message.type_url, message.value)


def _set(message: Any, packed: Packed) -> None:
    message.SetInParent()
    message.type_url = packed.type_url
    message.value = packed.value
