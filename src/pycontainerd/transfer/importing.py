"""Reading an image archive into the content store: what comes is stored as it comes, and then its index is found.

Every regular file becomes a blob, called by what its bytes hash to, never by what the archive says. An archive with a
file `oci-layout` is an OCI image layout; one with a `manifest.json` is what `docker save` writes.
"""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import AsyncIterator
from typing import Final

from pycontainerd.diff.tar.errors import CutShort
from pycontainerd.errors import Error, InvalidArgument, Unknown
from pycontainerd.oci.image import OCI_INDEX, Descriptor, DockerArchiveEntry, ImageLayout
from pycontainerd.spawner.aio import Spawner
from pycontainerd.threads import Threads
from pycontainerd.transfer import archive, docker_archive, documents
from pycontainerd.transfer.archive_messages import Broken, Data, End, Event, Member
from pycontainerd.transfer.blobs import BlobWriter, writing
from pycontainerd.transfer.context import Context

LAYOUT_FILE: Final = "oci-layout"
LAYOUT_VERSION: Final = "1.0.0"
INDEX_FILE: Final = "index.json"
MANIFEST_FILE: Final = "manifest.json"

MEMBER_LIMIT: Final = 100_000
"""Members of one archive; each file costs commits."""

NAMES_LIMIT: Final = 16 << 20
"""Bytes of all names and links of one archive together: they are kept until it is read, and compress to nothing."""

_EVENTS_IN_A_ROW: Final = 16


async def read_archive(
    context: Context,
    pieces: AsyncIterator[bytes],
    spawner: Spawner,
    threads: Threads,
    *,
    sniff: bool,
    force_compress: bool,
) -> Descriptor:
    """Stores the archive and returns the descriptor of its index.

    With *sniff* it may come compressed; with *force_compress* plain layers of a docker archive are compressed. Raises
    Unknown for an archive that is none, is cut short, or is no image, InvalidArgument for one whose names are too long.
    """
    contents = _Contents(context)
    async with archive.opened(spawner, pieces, sniff=sniff) as events:
        await contents.read(_Members(events))
    if contents.layout is not None:
        return contents.oci_index(contents.layout)
    if contents.manifests is None:
        raise Unknown("unrecognized image format")
    return await docker_archive.index(
        context, contents.manifests, contents.with_links(), threads, force_compress=force_compress
    )


class _Contents:
    """What was found in an archive."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._blobs: dict[str, Descriptor] = {}
        self._links: dict[str, str] = {}
        self.layout: ImageLayout | None = None
        self.manifests: tuple[DockerArchiveEntry, ...] | None = None

    async def read(self, members: _Members) -> None:
        """Reads the archive up to its end."""
        count = names = 0
        while (member := await members.next_member()) is not None:
            count += 1
            if count > MEMBER_LIMIT:
                raise Unknown(f"archive has more than {MEMBER_LIMIT} members")
            names += len(member.name.encode()) + len((member.link_to or "").encode())
            if names > NAMES_LIMIT:
                raise InvalidArgument(f"names and links of the archive have more than {NAMES_LIMIT} bytes together")
            name = posixpath.normpath(member.name)
            if member.link_to is not None:
                self._links[member.name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.link_to))
            if not member.is_file:
                continue
            if name == LAYOUT_FILE:
                data = await members.document(member.size)
                self.layout = documents.decode(ImageLayout, data, f'untar oci layout "{name}"')
            elif name == MANIFEST_FILE:
                data = await members.document(member.size)
                self.manifests = documents.decode(tuple[DockerArchiveEntry, ...], data, f'untar manifest "{name}"')
            else:
                await self._store(name, member.size, members)

    async def _store(self, name: str, size: int, members: _Members) -> None:
        try:
            async with writing(self._context, f"tar-{name}", total=size) as blob:
                await members.copy_to(blob, size)
                digest = await blob.finish()
        except Error as error:
            raise error.within(f'failed to ingest "{name}"') from error
        self._blobs[name] = Descriptor("", str(digest), size)

    def oci_index(self, layout: ImageLayout) -> Descriptor:
        """The index of an OCI layout."""
        if layout.image_layout_version != LAYOUT_VERSION:
            raise Unknown(f"unsupported OCI version {layout.image_layout_version}")
        index = self._blobs.get(INDEX_FILE)
        if index is None:
            raise Unknown(f"missing index.json in OCI layout {LAYOUT_VERSION}")
        return Descriptor(OCI_INDEX, index.digest, index.size)

    def with_links(self) -> dict[str, Descriptor]:
        """The blobs by their names in the archive, those of links included."""
        blobs = dict(self._blobs)
        for name, target in self._links.items():
            if target not in blobs:
                raise Unknown(f'no target for symlink layer from "{name}" to "{target}"')
            blobs[name] = blobs[target]
        return blobs


class _Members:
    """The members of an archive, and the data of the last one, from its events."""

    def __init__(self, events: AsyncIterator[Event]) -> None:
        self._events = events
        self._count = 0

    async def next_member(self) -> Member | None:
        """The next member, None at the end of the archive; what is left of the last one's data is passed over."""
        while True:
            match await self._next():
                case Member() as member:
                    return member
                case Data():
                    continue
                case Broken() as broken:
                    raise broken.error()
                case End():
                    return None

    async def document(self, size: int) -> bytes:
        """The member's data in one piece. Raises Unknown if there is more than a document may have."""
        data = bytearray()
        async for piece in self._data(size):
            if len(data) <= documents.LIMIT:
                data += piece
        return bytes(data)

    async def copy_to(self, blob: BlobWriter, size: int) -> None:
        """Writes the member's data to *blob*. Raises Unknown if the archive ends before *size* bytes."""
        try:
            async for piece in self._data(size):
                await blob.write(piece)
        except CutShort as error:
            raise Unknown(f"short read: expected {size} bytes but got {blob.size}: {error.message}") from None

    async def _data(self, size: int) -> AsyncIterator[memoryview]:
        left = size
        while left:
            match await self._next():
                case Data(data):
                    left -= len(data)
                    yield data
                case Broken() as broken:
                    raise broken.error()
                case _:
                    raise Unknown("the worker that read the archive answered out of turn")

    async def _next(self) -> Event:
        self._count += 1
        if self._count % _EVENTS_IN_A_ROW == 0:
            # What has come already is read without waiting: others must get their turn nevertheless.
            await asyncio.sleep(0)
        return await anext(self._events)
