"""What an image consists of, read from the daemon's content: manifests, config, sizes, platforms."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

import msgspec

from pycontainerd.client.content import Content
from pycontainerd.errors import NotFound
from pycontainerd.oci import image, platforms
from pycontainerd.oci.image import Descriptor, ImageConfig, Manifest, Platform
from pycontainerd.oci.platforms import Matcher

if TYPE_CHECKING:
    from pycontainerd.api.containerd import types_pb2

DEPTH_LIMIT: Final = 8
"""Indexes within indexes that are followed; real images have one or two."""


def descriptor_of(target: types_pb2.Descriptor) -> Descriptor:
    """A descriptor of the wire as one of image-spec."""
    return Descriptor(target.media_type, target.digest, target.size, annotations=dict(target.annotations))


class Chosen(msgspec.Struct, frozen=True):
    """The manifest of an image for one platform, with its config."""

    descriptor: Descriptor
    manifest: Manifest
    config: ImageConfig

    @property
    def chain_id(self) -> str:
        """The name of the snapshot of all layers; empty for an image without."""
        return image.chain_id(self.config.diff_ids)


class ImageContent:
    """The documents of images in one namespace."""

    def __init__(self, content: Content) -> None:
        self._content = content

    async def read(self, descriptor: Descriptor) -> bytes:
        """A document. Raises NotFound; ResourceExhausted if it is longer than a document may be."""
        return await self._content.read_all(descriptor.digest, limit=image.DOCUMENT_LIMIT)

    async def config(self, descriptor: Descriptor) -> ImageConfig:
        return image.decode(ImageConfig, await self.read(descriptor), name=descriptor.digest)

    async def choose(self, target: Descriptor, matcher: Matcher, *, name: str) -> Chosen:
        """The manifest of *target* that *matcher* likes best. Raises NotFound if there is none, with *name*
        in it.
        """
        async for descriptor in self._manifests(target, matcher, 0):
            document = await self.read(descriptor)
            image.check_unambiguous(document, descriptor.media_type, name=descriptor.digest)
            manifest = image.decode(Manifest, document, name=descriptor.digest)
            if manifest.config is None:
                continue
            config = await self.config(manifest.config)
            # Inside an index a manifest may not say what it is for; then its config does.
            told = descriptor.platform is not None or descriptor.digest == target.digest
            if told or matcher(config.platform):
                return Chosen(descriptor, manifest, config)
        raise NotFound(f"no match for platform in manifest {target.digest} of {name}")

    async def _manifests(self, target: Descriptor, matcher: Matcher, depth: int) -> AsyncIterator[Descriptor]:
        if image.is_manifest(target.media_type):
            yield target
        elif image.is_index(target.media_type) and depth < DEPTH_LIMIT:
            for child in platforms.select(image.children(await self.read(target), target), matcher):
                async for found in self._manifests(child, matcher, depth + 1):
                    yield found
        elif not image.is_index(target.media_type):
            raise NotFound(f"unexpected media type {target.media_type} for {target.digest}")

    async def size(self, target: Descriptor, matcher: Matcher) -> int:
        """Bytes of all that *target* consists of on the platform that *matcher* likes best. Raises NotFound."""
        return await self._size(target, matcher, 0)

    async def _size(self, target: Descriptor, matcher: Matcher, depth: int) -> int:
        total = target.size
        if not image.is_manifest(target.media_type) and not image.is_index(target.media_type):
            return total
        parts = image.children(await self.read(target), target)
        if image.is_manifest(target.media_type):
            return total + sum(part.size for part in parts)
        for part in platforms.select(parts, matcher)[:1]:
            if depth < DEPTH_LIMIT:
                total += await self._size(part, matcher, depth + 1)
        return total

    async def platforms(self, target: Descriptor) -> list[Platform]:
        """The platforms that *target* has manifests for, as far as its documents are here. Raises NotFound."""
        return [platform async for platform in self._platforms(target, 0)]

    async def _platforms(self, target: Descriptor, depth: int) -> AsyncIterator[Platform]:
        if target.platform is not None:
            yield platforms.normalize(target.platform)
        elif image.is_manifest(target.media_type):
            manifest = image.decode(Manifest, await self.read(target), name=target.digest)
            if manifest.config is not None and image.is_config(manifest.config.media_type):
                yield platforms.normalize((await self.config(manifest.config)).platform)
        elif image.is_index(target.media_type) and depth < DEPTH_LIMIT:
            for child in image.children(await self.read(target), target):
                async for found in self._platforms(child, depth + 1):
                    yield found
