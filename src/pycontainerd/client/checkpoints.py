"""Checkpoints of containers: images whose index names what is needed to bring one back.

The manifests of such an index are no manifests but the parts: the files of criu, the spec, the options of runtime and
checkpoint, what the container has changed, the image it came from. Annotations name image, runtime and snapshotter.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec
from google.protobuf.any_pb2 import Any

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.images.v1_pb2 import Image
from pycontainerd.client.changes import compared_with_parent
from pycontainerd.client.image_content import ImageContent, descriptor_of
from pycontainerd.errors import AlreadyExists, Unknown
from pycontainerd.oci import image, platforms
from pycontainerd.oci.image import Descriptor, Index, Platform

if TYPE_CHECKING:
    from pycontainerd.api.containerd.services.containers.v1_pb2 import Container
    from pycontainerd.client.client import Client

FILES: Final = "application/vnd.containerd.container.criu.checkpoint.criu.tar"
SPEC: Final = "application/vnd.containerd.container.checkpoint.config.v1+proto"
OPTIONS: Final = "application/vnd.containerd.container.checkpoint.options.v1+proto"
RUNTIME_OPTIONS: Final = "application/vnd.containerd.container.checkpoint.runtime.options+proto"

RUNTIME: Final = "io.containerd.checkpoint.runtime"
SNAPSHOTTER: Final = "io.containerd.checkpoint.snapshotter"
IMAGE_NAME: Final = "image.name"
"""Annotations of an index; the first two beside the name of the image as a reference, the last of a task alone."""

_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
"""Writes annotations in the order of their keys, as the original does."""


class Parts:
    """The parts of a checkpoint of *container* as they are gathered. *client* holds a lease."""

    def __init__(self, client: Client, container: Container) -> None:
        self._client = client
        self._container = container
        self._found: list[Descriptor] = []
        self.annotations: dict[str, str] = {}

    async def add_task(self, options: Any | None) -> bool:
        """Adds the state of the running task and its spec; whether there is any, and not only files in a directory."""
        kept = await self._client.tasks.checkpoint(self._container.id, options)
        self._add(*(descriptor_of(each) for each in kept))
        return bool(kept)

    async def add_image(self) -> None:
        """Adds the image of the container. Raises NotFound."""
        target = (await self._client.images.get(self._container.image)).target
        self._found.append(descriptor_of(target))

    async def add_changes(self) -> None:
        """Adds what the container has changed in its root file system."""
        key = self._container.snapshot_key
        snapshots = self._client.snapshots(self._container.snapshotter)
        layer = await compared_with_parent(self._client, snapshots, key, ref=f"checkpoint-rw-{key}")
        self._add(descriptor_of(layer))

    async def add_document(self, message: Any, media_type: str, ref: str) -> None:
        """Adds the bytes of *message*."""
        data = message.SerializeToString()
        self._add(Descriptor(media_type, await _store(self._client, ref, data), len(data)))

    async def add_runtime_options(self) -> None:
        """Adds the options of the container's runtime, if it has any."""
        options = self._container.runtime.options
        if options.value:
            await self.add_document(options, RUNTIME_OPTIONS, f"{self._container.id}-runtime-options")

    async def commit(self, name: str, ref: str, labels: Mapping[str, str] | None = None) -> Image:
        """Makes the image *name* of the parts. Raises AlreadyExists."""
        index = {"schemaVersion": 2, "manifests": self._found, "annotations": self.annotations}
        data = _ENCODER.encode(index)
        kept = {f"containerd.io/gc.ref.content.{place}": part.digest for place, part in enumerate(self._found)}
        digest = await _store(self._client, ref, data, kept)
        target = types_pb2.Descriptor(media_type=image.OCI_INDEX, digest=digest, size=len(data))
        return await self._client.images.create(Image(name=name, target=target, labels=labels))

    def _add(self, *parts: Descriptor) -> None:
        host = platforms.host()
        platform = Platform(architecture=host.architecture, os=host.os)
        self._found += [msgspec.structs.replace(part, platform=platform) for part in parts]


class Checkpoint:
    """The image of a checkpoint, read."""

    def __init__(self, client: Client, name: str, index: Index) -> None:
        self._client = client
        self._name = name
        self._index = index

    @classmethod
    async def read(cls, client: Client, name: str) -> Checkpoint:
        """Raises NotFound."""
        target = descriptor_of((await client.images.get(name)).target)
        document = await ImageContent(client.content).read(target)
        return cls(client, name, image.decode(Index, document, name=target.digest))

    def annotation(self, key: str, what: str) -> str:
        """Raises Unknown, with *what* is missing, in the words of the original."""
        value = self._index.annotations.get(key)
        if not value:
            raise Unknown(f"{what} not found in index")
        return value

    def find(self, media_type: str) -> Descriptor | None:
        return next((part for part in self._index.manifests if part.media_type == media_type), None)

    def part(self, media_type: str) -> Descriptor:
        """Raises Unknown if there is none, in the words of the original."""
        found = self.find(media_type)
        if found is None:
            raise Unknown("media type not found")
        return found

    async def document(self, part: Descriptor) -> Any:
        """The message that *part* is. Raises NotFound."""
        return Any.FromString(await ImageContent(self._client.content).read(part))


def default_name(container_id: str) -> str:
    """The name of the image of a task's checkpoint that is given none: its id, and the local time."""
    return f"containerd.io/checkpoint/{container_id}:{time.strftime('%m-%d-%Y-%H:%M:%S')}"


def wire_of(part: Descriptor) -> types_pb2.Descriptor:
    """A part as requests name it."""
    return types_pb2.Descriptor(
        media_type=part.media_type, digest=part.digest, size=part.size, annotations=part.annotations
    )


async def _store(client: Client, ref: str, data: bytes, labels: Mapping[str, str] | None = None) -> str:
    """The digest of the blob that *data* becomes, or is."""
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    with suppress(AlreadyExists):
        async with client.content.ingest(ref) as ingest:
            await ingest.write(data)
            await ingest.commit(size=len(data), labels=labels)
    return digest
