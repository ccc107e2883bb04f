"""Images as messages and back. Encoding starts from the message that the image came from, so that fields which this
version does not know are kept.
"""

from __future__ import annotations

from pycontainerd.api.containerd.services.images import v1_pb2 as images_pb2
from pycontainerd.images.model import Image, Target
from pycontainerd.metadata.times import from_timestamp, to_timestamp


def decode(wire: bytes) -> Image:
    """The image that *wire* encodes."""
    return from_message(images_pb2.Image.FromString(wire), wire)


def from_message(message: images_pb2.Image, wire: bytes = b"") -> Image:
    """The image that *message* is; its bytes are kept beside."""
    return Image(
        message.name,
        Target(message.target.media_type, message.target.digest, message.target.size, dict(message.target.annotations)),
        dict(message.labels),
        from_timestamp(message.created_at),
        from_timestamp(message.updated_at),
        wire or message.SerializeToString(),
    )


def encode(image: Image) -> bytes:
    """*image* as a message's bytes."""
    message = images_pb2.Image.FromString(image.wire)
    message.name = image.name
    message.labels.clear()
    message.labels.update(image.labels)
    message.target.media_type = image.target.media_type
    message.target.digest = image.target.digest
    message.target.size = image.target.size
    message.target.annotations.clear()
    message.target.annotations.update(image.target.annotations)
    message.created_at.CopyFrom(to_timestamp(image.created_ns))
    message.updated_at.CopyFrom(to_timestamp(image.updated_ns))
    return message.SerializeToString(deterministic=True)
