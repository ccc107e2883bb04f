"""Sandboxes as messages and back. Encoding starts from the message that the record came from, so that fields which
this version does not know are kept.
"""

from __future__ import annotations

from google.protobuf.any_pb2 import Any

from pycontainerd.api.containerd import types_pb2
from pycontainerd.containers.model import Packed, Runtime
from pycontainerd.metadata.times import from_timestamp, to_timestamp
from pycontainerd.sandboxes.model import Sandbox


def decode(wire: bytes) -> Sandbox:
    """The record that *wire* encodes."""
    return from_message(types_pb2.Sandbox.FromString(wire), wire)


def from_message(message: types_pb2.Sandbox, wire: bytes = b"") -> Sandbox:
    """The record that *message* is; its bytes are kept beside."""
    options = _packed(message.runtime.options) if message.runtime.HasField("options") else None
    return Sandbox(
        message.sandbox_id,
        Runtime(message.runtime.name, options),
        _packed(message.spec) if message.HasField("spec") else None,
        dict(message.labels),
        {key: _packed(message.extensions[key]) for key in message.extensions},
        message.sandboxer,
        from_timestamp(message.created_at),
        from_timestamp(message.updated_at),
        wire or message.SerializeToString(),
    )


def encode(sandbox: Sandbox) -> bytes:
    """*sandbox* as a message's bytes."""
    message = types_pb2.Sandbox.FromString(sandbox.wire)
    message.sandbox_id = sandbox.id
    message.sandboxer = sandbox.sandboxer
    message.labels.clear()
    message.labels.update(sandbox.labels)
    message.runtime.name = sandbox.runtime.name
    if sandbox.runtime.options is None:
        message.runtime.ClearField("options")
    else:
        _set(message.runtime.options, sandbox.runtime.options)
    if sandbox.spec is None:
        message.ClearField("spec")
    else:
        _set(message.spec, sandbox.spec)
    for key in message.extensions.keys() - sandbox.extensions.keys():
        del message.extensions[key]
    for key, packed in sandbox.extensions.items():
        _set(message.extensions[key], packed)
    message.created_at.CopyFrom(to_timestamp(sandbox.created_ns))
    message.updated_at.CopyFrom(to_timestamp(sandbox.updated_ns))
    return message.SerializeToString(deterministic=True)


def _packed(message: Any) -> Packed:
    return Packed(message.type_url, message.value)


def _set(message: Any, packed: Packed) -> None:
    message.SetInParent()
    message.type_url = packed.type_url
    message.value = packed.value
