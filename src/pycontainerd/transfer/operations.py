"""The operations: each takes a source and a destination that were found, and does it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from msgspec import Struct

from pycontainerd.clock import Clock
from pycontainerd.content.times import format_ns
from pycontainerd.errors import InvalidArgument, NotFound
from pycontainerd.ids import Ids
from pycontainerd.oci.image import Descriptor
from pycontainerd.spawner.aio import Spawner
from pycontainerd.streaming import byte_streams
from pycontainerd.streaming.manager import Stream
from pycontainerd.threads import Threads
from pycontainerd.transfer import image_tree, importing
from pycontainerd.transfer.context import Context
from pycontainerd.transfer.destination import LABEL_EXPIRE, Destination, Names, UnpackRequest
from pycontainerd.transfer.progress import Progress
from pycontainerd.transfer.seams import Content, Images, Leases
from pycontainerd.transfer.unpacking import KeyedLocks, Unpacker, UnpackPlatform

LEASE_LIFE_NS: Final = 24 * 3_600 * 1_000_000_000
"""After this a lease that a crash left lets go of what it holds."""

_DEFAULT_SNAPSHOTTER: Final = "overlayfs"


class Archive(Struct, frozen=True):
    """An image archive that comes over a stream."""

    stream: Stream
    media_type: str = ""
    force_compress: bool = False


class Operations:
    """What this daemon can transfer, over its stores."""

    def __init__(
        self,
        content: Content,
        images: Images,
        leases: Leases,
        *,
        unpack_platforms: Sequence[UnpackPlatform],
        spawner: Spawner,
        threads: Threads,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._content = content
        self._images = images
        self._leases = leases
        self._unpack_platforms = unpack_platforms
        self._spawner = spawner
        self._threads = threads
        self._clock = clock
        self._ids = ids
        self._locks = KeyedLocks()

    async def import_archive(
        self, namespace: str, lease: str | None, archive: Archive, target: Destination, listener: Stream | None
    ) -> None:
        """Stores an archive, its images under the names that *target* says, unpacked as it says.

        Raises Unknown for an archive that is no image, InvalidArgument if nothing can unpack as asked.
        """
        async with self._context(namespace, lease, listener) as context:
            await context.progress.tell("Importing")
            unpacker = self._unpacker(context, target)
            index = await importing.read_archive(
                context,
                byte_streams.received(archive.stream),
                self._spawner,
                self._threads,
                sniff=not archive.media_type,
                force_compress=archive.force_compress,
            )
            wanted = image_tree.Wanted(
                target.platforms, all_metadata=target.all_metadata, manifest_limit=target.manifest_limit
            )
            manifests: list[tuple[Descriptor, Sequence[Descriptor]]] = []

            async def visit(manifest: Descriptor, children: Sequence[Descriptor]) -> None:
                manifests.append((manifest, children))

            parts = await image_tree.walk(context, index, wanted, visit)
            if unpacker is not None:
                for manifest, children in manifests:
                    await unpacker.unpack(manifest, children)
            async for name, named in Names(context, self._images, target, self._clock).give(index, parts):
                await context.progress.tell("saved", name, named)
            await context.progress.tell("Completed import")

    async def tag(self, namespace: str, lease: str | None, source: str, target: Destination) -> None:
        """Stores what the image *source* points to under further names. Raises NotFound."""
        async with self._context(namespace, lease, None) as context:
            found = self._images.get(namespace, source).target
            whole = Descriptor(found.media_type, found.digest, found.size, annotations=dict(found.annotations))
            given = [name async for name, _ in Names(context, self._images, target, self._clock).give(whole)]
            if not given:
                raise NotFound("no image name found")

    async def echo(self, source: Stream, target: Stream) -> None:
        """Sends over one stream what comes over another."""
        await byte_streams.send(target, byte_streams.received(source))

    @asynccontextmanager
    async def _context(self, namespace: str, lease: str | None, listener: Stream | None) -> AsyncIterator[Context]:
        """A transfer, and what holds what it makes: the caller's lease, or one of its own."""
        progress = Progress(listener)
        if lease is not None:
            yield Context(namespace, lease, self._content, progress)
            return
        expires = format_ns(self._clock.now_ns() + LEASE_LIFE_NS)
        made = await self._leases.create(namespace, "", {LABEL_EXPIRE: expires})
        try:
            yield Context(namespace, made.id, self._content, progress)
        finally:
            await self._leases.delete(namespace, made.id)

    def _unpacker(self, context: Context, target: Destination) -> Unpacker | None:
        if not target.unpacks:
            return None
        chosen = [choice for request in target.unpacks if (choice := self._choose(request)) is not None]
        if not chosen:
            raise InvalidArgument("unable to initialize unpacker: no unpack platforms defined")
        return Unpacker(context, chosen, self._ids, self._locks)

    def _choose(self, request: UnpackRequest) -> UnpackPlatform | None:
        """What unpacks as asked: of several the default snapshotter, if none was named."""
        fitting = [
            choice
            for choice in self._unpack_platforms
            if (request.platform is None or choice.takes(request.platform))
            and request.snapshotter in {"", choice.snapshotter}
        ]
        preferred = [choice for choice in fitting if choice.snapshotter == _DEFAULT_SNAPSHOTTER]
        return next(iter(preferred if not request.snapshotter and preferred else fitting), None)
