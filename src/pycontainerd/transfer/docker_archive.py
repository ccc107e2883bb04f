"""What `docker save` writes, made an OCI index: a manifest for each image, a descriptor for each of its names.

The documents are byte for byte those that the original makes, so that both give an image the same digest.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

import msgspec

from pycontainerd.content.model import Digest
from pycontainerd.errors import Unknown
from pycontainerd.oci import platforms
from pycontainerd.oci.image import (
    ANNOTATION_IMAGE_NAME,
    ANNOTATION_REF_NAME,
    DOCKER_CONFIG,
    DOCKER_LAYER,
    DOCKER_LAYER_GZIP,
    DOCKER_MANIFEST,
    OCI_INDEX,
    Descriptor,
    DockerArchiveEntry,
    ImageConfig,
    Platform,
)
from pycontainerd.threads import Threads
from pycontainerd.transfer import blobs, documents, references
from pycontainerd.transfer.context import Context

LABEL_UNCOMPRESSED: Final = "containerd.io/uncompressed"

_GZIP: Final = b"\x1f\x8b\x08"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_SNIFFED: Final = 10
_CHUNK: Final = 1 << 20


class _DockerManifest(msgspec.Struct, frozen=True, rename="camel"):
    """A manifest of docker's schema 2, its members in the order in which the original writes them."""

    schema_version: int
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]


class _Index(msgspec.Struct, frozen=True, rename="camel"):
    """An index as the original writes it: `manifests` is there even if there are none."""

    schema_version: int
    manifests: tuple[Descriptor, ...] | None


async def index(
    context: Context,
    entries: Sequence[DockerArchiveEntry],
    files: Mapping[str, Descriptor],
    threads: Threads,
    *,
    force_compress: bool,
) -> Descriptor:
    """Stores manifests and index of the images *entries*, whose *files* are stored. Raises Unknown."""
    manifests: list[Descriptor] = []
    for entry in entries:
        config = files.get(entry.config)
        if config is None:
            raise Unknown(f'image config "{entry.config}" not found')
        layers = await _layers(context, entry.layers, files, threads, force_compress=force_compress)
        manifest = _DockerManifest(2, DOCKER_MANIFEST, Descriptor(DOCKER_CONFIG, config.digest, config.size), layers)
        stored = await blobs.store(context, msgspec.json.encode(manifest), DOCKER_MANIFEST)
        platform = await _platform(context, config)
        manifests += _named(stored, platform, entry.repo_tags or ())
    return await blobs.store(context, msgspec.json.encode(_Index(2, tuple(manifests) or None)), OCI_INDEX)


def _named(manifest: Descriptor, platform: Platform, tags: Sequence[str]) -> list[Descriptor]:
    """The manifest under each of its names, or once without."""
    names = [references.normalized(tag) for tag in tags]
    annotations: list[dict[str, str]] = [
        {ANNOTATION_IMAGE_NAME: name, ANNOTATION_REF_NAME: references.object_of(name)} for name in names
    ]
    return [
        Descriptor(manifest.media_type, manifest.digest, manifest.size, annotations=said, platform=platform)
        for said in annotations or [{}]
    ]


async def _platform(context: Context, config: Descriptor) -> Platform:
    data = await context.content.read_all(context.namespace, Digest.parse(config.digest), limit=documents.LIMIT)
    said: ImageConfig = documents.decode(ImageConfig, data, "unable to resolve platform")
    return platforms.normalize(said.platform)


async def _layers(
    context: Context,
    names: Sequence[str],
    files: Mapping[str, Descriptor],
    threads: Threads,
    *,
    force_compress: bool,
) -> tuple[Descriptor, ...]:
    plain: list[Descriptor] = []
    for name in names:
        file = files.get(name)
        if file is None:
            raise Unknown(f'failed to resolve layers: layer "{name}" not found')
        plain.append(file)
    known = await _known_compressed(context, [layer.digest for layer in plain])
    return tuple(
        [
            await _layer(context, known.get(layer.digest, layer), threads, force_compress=force_compress)
            for layer in plain
        ]
    )


async def _known_compressed(context: Context, digests: Sequence[str]) -> dict[str, Descriptor]:
    """Blobs that the namespace has and that are, unpacked, one of *digests*."""
    if not digests:
        return {}
    filters = [f'labels."{LABEL_UNCOMPRESSED}"=={digest}' for digest in digests]
    found: dict[str, Descriptor] = {}
    async for batch in context.content.list_blobs(context.namespace, filters):
        for info in batch:
            found[info.labels[LABEL_UNCOMPRESSED]] = Descriptor("", str(info.digest), info.size)
    return found


async def _layer(context: Context, layer: Descriptor, threads: Threads, *, force_compress: bool) -> Descriptor:
    with context.content.reader(context.namespace, Digest.parse(layer.digest)) as blob:
        head = await blob.read(0, _SNIFFED)
    if head.startswith((_GZIP, _ZSTD)):
        return Descriptor(DOCKER_LAYER_GZIP, layer.digest, layer.size)
    if force_compress:
        return await _compressed(context, layer, threads)
    return Descriptor(DOCKER_LAYER, layer.digest, layer.size)


async def _compressed(context: Context, layer: Descriptor, threads: Threads) -> Descriptor:
    digest = Digest.parse(layer.digest)
    async with blobs.writing(context, f"compress-blob-{digest.algorithm}-{digest.encoded}") as blob:
        async for piece in _gzipped(context, digest, threads):
            await blob.write(piece)
        stored = await blob.finish({LABEL_UNCOMPRESSED: layer.digest})
        return Descriptor(DOCKER_LAYER_GZIP, str(stored), blob.size)


async def _gzipped(context: Context, digest: Digest, threads: Threads) -> AsyncIterator[bytes]:
    """The blob in one gzip member, with the header that the original writes: no time, unknown system."""
    deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    checksum, size = 0, 0
    yield _GZIP + bytes(6) + b"\xff"
    with context.content.reader(context.namespace, digest) as blob:
        while data := await blob.read(size, _CHUNK):
            checksum = zlib.crc32(data, checksum)
            size += len(data)
            if piece := await threads.run(deflate.compress, data):
                yield piece
    yield await threads.run(deflate.flush)
    yield struct.pack("<II", checksum, size & 0xFFFF_FFFF)
