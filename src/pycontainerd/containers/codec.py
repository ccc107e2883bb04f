"""Containers as messages and back. Encoding starts from the message that the record came from, so that fields which
this version does not know are kept.
"""

from __future__ import annotations

from pycontainerd.api.containerd.services.containers import v1_pb2 as containers_pb2
from pycontainerd.containers import parts
from pycontainerd.containers.model import Container


def decode(wire: bytes) -> Container:
    """The record that *wire* encodes."""
    return from_message(containers_pb2.Container.FromString(wire), wire)


def from_message(message: containers_pb2.Container, wire: bytes = b"") -> Container:
    """The record that *message* is; its bytes are kept beside."""
    return parts.unpack(
        message,
        Container,
        message.id,
        wire,
        image=message.image,
        snapshotter=message.snapshotter,
        snapshot_key=message.snapshot_key,
        sandbox=message.sandbox,
    )


def encode(container: Container) -> bytes:
    """*container* as a message's bytes."""
    message = containers_pb2.Container.FromString(container.wire)
    message.id = container.id
    message.image = container.image
    message.snapshotter = container.snapshotter
    message.snapshot_key = container.snapshot_key
    message.sandbox = container.sandbox
    parts.pack(container, message)
    return message.SerializeToString(deterministic=True)
