"""Images: names for targets in the content store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pycontainerd.api.containerd.services.images import v1_pb2 as images_pb2
from pycontainerd.client.session import Api
from pycontainerd.rpc.service import methods_of

_METHODS: Final = methods_of(images_pb2.DESCRIPTOR.services_by_name["Images"])


class Images(Api):
    """The images of a namespace."""

    __slots__ = ()

    async def get(self, name: str) -> images_pb2.Image:
        """Raises NotFound."""
        request = images_pb2.GetImageRequest(name=name)
        reply: images_pb2.GetImageResponse = await self._session.unary(_METHODS["get"], request)
        return reply.image

    async def list(self, *filters: str) -> list[images_pb2.Image]:
        """Those that one of *filters* matches, all without a filter; sorted by name."""
        request = images_pb2.ListImagesRequest(filters=filters)
        reply: images_pb2.ListImagesResponse = await self._session.unary(_METHODS["list"], request)
        return list(reply.images)

    async def create(self, image: images_pb2.Image) -> images_pb2.Image:
        """Raises AlreadyExists."""
        request = images_pb2.CreateImageRequest(image=image)
        reply: images_pb2.CreateImageResponse = await self._session.unary(_METHODS["create"], request)
        return reply.image

    async def update(self, image: images_pb2.Image, paths: Iterable[str] = ()) -> images_pb2.Image:
        """Changes the members that *paths* name, all without paths. Raises NotFound."""
        request = images_pb2.UpdateImageRequest(image=image)
        request.update_mask.paths.extend(paths)
        reply: images_pb2.UpdateImageResponse = await self._session.unary(_METHODS["update"], request)
        return reply.image

    async def delete(self, name: str, *, sync: bool = False) -> None:
        """Removes the name; with *sync* returns when the collector has run. Raises NotFound."""
        await self._session.unary(_METHODS["delete"], images_pb2.DeleteImageRequest(name=name, sync=sync))
