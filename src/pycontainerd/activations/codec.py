"""Activations as messages and back."""

from __future__ import annotations

from pycontainerd.activations.model import Activation, Active
from pycontainerd.api.containerd import types_pb2
from pycontainerd.metadata.times import from_timestamp, to_timestamp
from pycontainerd.mounts.model import Mount


def encode(activation: Activation) -> bytes:
    """*activation* as a message's bytes."""
    return types_pb2.ActivationInfo(
        name=activation.name,
        active=[
            types_pb2.ActiveMount(
                mount=_message(active.mount),
                mounted_at=to_timestamp(active.mounted_at_ns),
                mount_point=active.point,
            )
            for active in activation.active
        ],
        system=map(_message, activation.system),
        labels=activation.labels,
    ).SerializeToString(deterministic=True)


def decode(wire: bytes) -> Activation:
    """The activation that *wire* encodes."""
    message = types_pb2.ActivationInfo.FromString(wire)
    active = [
        Active(from_message(active.mount), active.mount_point, from_timestamp(active.mounted_at))
        for active in message.active
    ]
    return Activation(message.name, active, [from_message(mount) for mount in message.system], dict(message.labels))


def from_message(message: types_pb2.Mount) -> Mount:
    return Mount(message.type, message.source, message.target, tuple(message.options))


def _message(mount: Mount) -> types_pb2.Mount:
    return types_pb2.Mount(type=mount.type, source=mount.source, target=mount.target, options=mount.options)
