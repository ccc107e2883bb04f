"""Sandboxes as messages and back. Encoding starts from the message that the record came from, so that fields which
this version does not know are kept.
"""

from __future__ import annotations

from pycontainerd.api.containerd import types_pb2
from pycontainerd.containers import parts
from pycontainerd.sandboxes.model import Sandbox


def decode(wire: bytes) -> Sandbox:
    """The record that *wire* encodes."""
    return from_message(types_pb2.Sandbox.FromString(wire), wire)


def from_message(message: types_pb2.Sandbox, wire: bytes = b"") -> Sandbox:
    """The record that *message* is; its bytes are kept beside."""
    return parts.unpack(message, Sandbox, message.sandbox_id, wire, sandboxer=message.sandboxer)


def encode(sandbox: Sandbox) -> bytes:
    """*sandbox* as a message's bytes."""
    message = types_pb2.Sandbox.FromString(sandbox.wire)
    message.sandbox_id = sandbox.id
    message.sandboxer = sandbox.sandboxer
    parts.pack(sandbox, message)
    return message.SerializeToString(deterministic=True)
