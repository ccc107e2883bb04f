"""What is known of a blob as a message and back."""

from __future__ import annotations

from pycontainerd.api.containerd.services.content import v1_pb2 as pb
from pycontainerd.content.model import BlobInfo, Digest
from pycontainerd.metadata.times import from_timestamp, to_timestamp


def encode(info: BlobInfo) -> bytes:
    """*info* as the bytes of a message."""
    message = pb.Info(
        digest=str(info.digest),
        size=info.size,
        created_at=to_timestamp(info.created_ns),
        updated_at=to_timestamp(info.updated_ns),
        labels=info.labels,
    )
    return message.SerializeToString(deterministic=True)


def decode(wire: bytes) -> BlobInfo:
    """The blob that *wire* is of."""
    message = pb.Info.FromString(wire)
    return BlobInfo(
        Digest(*message.digest.split(":", 1)),
        message.size,
        from_timestamp(message.created_at),
        from_timestamp(message.updated_at),
        dict(message.labels),
    )
