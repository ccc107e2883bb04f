"""`containerd.services.images.v1.Images`."""

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.containerd.services.images import v1_pb2 as images_pb2
from pycontainerd.errors import InvalidArgument
from pycontainerd.images import codec
from pycontainerd.images.model import Image
from pycontainerd.images.store import ImageStore
from pycontainerd.metadata.joining import joined
from pycontainerd.metadata.times import from_timestamp
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service


class ImagesService(Service):
    """The images of the caller's namespace. Replies are the stored bytes."""

    contract = images_pb2.DESCRIPTOR.services_by_name["Images"]

    def __init__(self, images: ImageStore) -> None:
        self._images = images

    async def get(self, request: images_pb2.GetImageRequest, call: Call) -> bytes:
        return joined([self._images.get_wire(call.namespace, request.name)])

    async def list(self, request: images_pb2.ListImagesRequest, call: Call) -> bytes:
        return await self._images.list_made(call.namespace, request.filters, joined)

    async def create(self, request: images_pb2.CreateImageRequest, call: Call) -> bytes:
        image = _sent(request)
        if not request.image.HasField("target"):
            raise InvalidArgument("the request's image has no target")
        made = await self._images.create(call.namespace, image, lease=call.lease, at_ns=_at_ns(request))
        return joined([made.wire])

    async def update(self, request: images_pb2.UpdateImageRequest, call: Call) -> bytes:
        image, paths = _sent(request), request.update_mask.paths
        changed = await self._images.update(call.namespace, image, paths, lease=call.lease, at_ns=_at_ns(request))
        return joined([changed.wire])

    async def delete(self, request: images_pb2.DeleteImageRequest, call: Call) -> Empty:
        await self._images.delete(
            call.namespace, request.name, target=request.target.digest, lease=call.lease, sync=request.sync
        )
        return Empty()


def _sent(request: images_pb2.CreateImageRequest | images_pb2.UpdateImageRequest) -> Image:
    if not request.HasField("image"):
        raise InvalidArgument("the request has no image")
    if not request.image.name:
        raise InvalidArgument("Image.Name required", bare=True)
    return codec.from_message(request.image)


def _at_ns(request: images_pb2.CreateImageRequest | images_pb2.UpdateImageRequest) -> int | None:
    return from_timestamp(request.source_date_epoch) if request.HasField("source_date_epoch") else None
