"""How far a transfer is, told over a stream to the client that asked for it."""

from __future__ import annotations

from pycontainerd.api.containerd.types import transfer_pb2 as pb
from pycontainerd.api.containerd.types_pb2 import Descriptor as WireDescriptor
from pycontainerd.errors import Cancelled
from pycontainerd.oci.image import Descriptor
from pycontainerd.streaming.manager import Stream


class Progress:
    """Tells each event to the stream, or to nobody. A listener that went away does not end the transfer."""

    def __init__(self, stream: Stream | None) -> None:
        self._stream = stream

    async def tell(self, event: str, name: str = "", descriptor: Descriptor | None = None) -> None:
        if self._stream is None:
            return
        message = pb.Progress(event=event, name=name)
        if descriptor is not None:
            message.desc.CopyFrom(
                WireDescriptor(
                    media_type=descriptor.media_type,
                    digest=descriptor.digest,
                    size=descriptor.size,
                    annotations=descriptor.annotations,
                )
            )
        try:
            await self._stream.send(message)
        except Cancelled:
            self._stream = None
