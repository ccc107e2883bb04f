"""Containers as messages and back. Encoding starts from the message that the record came from, so that fields which
this version does not know are kept.
"""

from __future__ import annotations

from google.protobuf.any_pb2 import Any

from pycontainerd.api.containerd.services.containers import v1_pb2 as containers_pb2
from pycontainerd.containers.model import Container, Packed, Runtime
from pycontainerd.metadata.times import from_timestamp, to_timestamp


def decode(wire: bytes) -> Container:
    """The record that *wire* encodes."""
    return from_message(containers_pb2.Container.FromString(wire), wire)


def from_message(message: containers_pb2.Container, wire: bytes = b"") -> Container:
    """The record that *message* is; its bytes are kept beside."""
    options = _packed(message.runtime.options) if message.runtime.HasField("options") else None
    return Container(
        message.id,
        Runtime(message.runtime.name, options),
        _packed(message.spec) if message.HasField("spec") else None,
        dict(message.labels),
        message.image,
        message.snapshotter,
        message.snapshot_key,
        message.sandbox,
        {key: _packed(message.extensions[key]) for key in message.extensions},
        from_timestamp(message.created_at),
        from_timestamp(message.updated_at),
        wire or message.SerializeToString(),
    )


def encode(container: Container) -> bytes:
    """*container* as a message's bytes."""
    message = containers_pb2.Container.FromString(container.wire)
    message.id = container.id
    message.image = container.image
    message.snapshotter = container.snapshotter
    message.snapshot_key = container.snapshot_key
    message.sandbox = container.sandbox
    message.labels.clear()
    message.labels.update(container.labels)
    message.runtime.name = container.runtime.name
    if container.runtime.options is None:
        message.runtime.ClearField("options")
    else:
        _set(message.runtime.options, container.runtime.options)
    if container.spec is None:
        message.ClearField("spec")
    else:
        _set(message.spec, container.spec)
    for key in message.extensions.keys() - container.extensions.keys():
        del message.extensions[key]
    for key, packed in container.extensions.items():
        _set(message.extensions[key], packed)
    message.created_at.CopyFrom(to_timestamp(container.created_ns))
    message.updated_at.CopyFrom(to_timestamp(container.updated_ns))
    return message.SerializeToString(deterministic=True)


def _packed(message: Any) -> Packed:
    return Packed(message.type_url, message.value)


def _set(message: Any, packed: Packed) -> None:
    message.SetInParent()
    message.type_url = packed.type_url
    message.value = packed.value
