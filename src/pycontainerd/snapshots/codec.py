"""Snapshots as messages and back, in two parts: what the namespace's row says, then what the backend knows.

Messages one behind the other are one message (protobuf, "Encoding"), of which a map's later entry for a key is the one
that counts: so the row's part is stored, and the backend's is put behind it, or before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pycontainerd.api.containerd.services.snapshots import v1_pb2 as pb
from pycontainerd.metadata.times import from_timestamp, to_timestamp
from pycontainerd.snapshots.model import Info, Kind

_KINDS: Final = {kind: pb.Info(kind=pb.Kind.Name(kind)).SerializeToString() for kind in Kind}


def encode_row(name: str, parent: str, created_ns: int, updated_ns: int, labels: Mapping[str, str]) -> bytes:
    """The row's part: all but the kind."""
    message = pb.Info(
        name=name,
        parent=parent,
        created_at=to_timestamp(created_ns),
        updated_at=to_timestamp(updated_ns),
        labels=labels,
    )
    return message.SerializeToString(deterministic=True)


def merged(row: bytes, known: Info) -> bytes:
    """The whole message: labels of the row stand above those that the backend knows."""
    if not known.labels:
        return row + _KINDS[known.kind]
    return pb.Info(labels=known.labels).SerializeToString(deterministic=True) + row + _KINDS[known.kind]


def decode(wire: bytes) -> Info:
    """The snapshot that the whole message *wire* is."""
    message = pb.Info.FromString(wire)
    return Info(
        message.name,
        Kind(message.kind),
        message.parent,
        from_timestamp(message.created_at),
        from_timestamp(message.updated_at),
        dict(message.labels),
    )
