"""The plugins of the images: the store's service, and the gRPC service on it."""

from __future__ import annotations

from pycontainerd.images.service import ImagesService
from pycontainerd.images.store import ImageStore
from pycontainerd.plugin import types
from pycontainerd.plugin.registration import Init, plugin


@plugin(types.SERVICE, "images-service", requires=[types.METADATA, types.GC, types.WARNING])
async def images_service(init: Init) -> ImageStore:
    store: ImageStore = init.plugins.single(types.METADATA).images
    store.collect_with(init.plugins.single(types.GC))
    return store


@plugin(types.GRPC, "images", requires=[types.SERVICE])
async def images(init: Init) -> ImagesService:
    return ImagesService(init.plugins.by_id(types.SERVICE, "images-service"))
