"""Reading an image archive into the content store: what comes is stored as it comes, and then its index is found.

Every regular file becomes a blob, called by what its bytes hash to, never by what the archive says. An archive with a
file `oci-layout` is an OCI image layout; one with a `manifest.json` is what `docker save` writes.
"""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import AsyncIterator
from typing import Final

from pycontainerd.errors import Error, Unknown
from pycontainerd.oci.image import OCI_INDEX, Descriptor, DockerArchiveEntry, ImageLayout
from pycontainerd.threads import Threads
from pycontainerd.transfer import docker_archive, documents, inflating
from pycontainerd.transfer.archive import Archive, Data, End, Member
from pycontainerd.transfer.blobs import BlobWriter, writing
from pycontainerd.transfer.context import Context

LAYOUT_FILE: Final = "oci-layout"
LAYOUT_VERSION: Final = "1.0.0"
INDEX_FILE: Final = "index.json"
MANIFEST_FILE: Final = "manifest.json"

MEMBER_LIMIT: Final = 100_000
"""Members of one archive; each file costs commits."""

_EVENTS_IN_A_ROW: Final = 16


async def read_archive(
    context: Context,
    pieces: AsyncIterator[bytes],
    threads: Threads,
    *,
    sniff: bool,
    force_compress: bool,
) -> Descriptor:
    """Stores the archive and returns the descriptor of its index.

    With *sniff* it may come compressed; with *force_compress* plain layers of a docker archive are compressed. Raises
    Unknown for an archive that is none, is cut short, or is no image.
    """
    plain = inflating.plain(pieces, threads) if sniff else pieces
    contents = _Contents(context)
    await contents.read(plain)
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
        self._archive = Archive()
        self._events: _Events | None = None
        self._blobs: dict[str, Descriptor] = {}
        self._links: dict[str, str] = {}
        self.layout: ImageLayout | None = None
        self.manifests: tuple[DockerArchiveEntry, ...] | None = None

    async def read(self, pieces: AsyncIterator[bytes]) -> None:
        """Reads the archive up to its end."""
        events = _Events(self._archive, pieces)
        members = 0
        while (member := await events.next_member()) is not None:
            members += 1
            if members > MEMBER_LIMIT:
                raise Unknown(f"archive has more than {MEMBER_LIMIT} members")
            name = posixpath.normpath(member.name)
            if member.link_to is not None:
                self._links[member.name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.link_to))
            if not member.is_file:
                await events.skip()
            elif name == LAYOUT_FILE:
                self.layout = documents.decode(ImageLayout, await events.document(), f'untar oci layout "{name}"')
            elif name == MANIFEST_FILE:
                data = await events.document()
                self.manifests = documents.decode(tuple[DockerArchiveEntry, ...], data, f'untar manifest "{name}"')
            else:
                await self._store(name, member.size, events)

    async def _store(self, name: str, size: int, events: _Events) -> None:
        try:
            async with writing(self._context, f"tar-{name}", total=size) as blob:
                await events.copy_to(blob, size)
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


class _Events:
    """The archive's events, fetched from the stream as they are wanted."""

    def __init__(self, archive: Archive, pieces: AsyncIterator[bytes]) -> None:
        self._archive = archive
        self._pieces = pieces
        self._events = iter(archive.feed(b""))
        self._over = False
        self._count = 0

    async def next_member(self) -> Member | None:
        """The next member, None at the end of the archive. Raises CutShort inside of one."""
        event = await self._next()
        if event is None:
            self._archive.finish()
            return None
        if not isinstance(event, Member):
            raise Unknown("archive: data without a member")
        return event

    async def skip(self) -> None:
        """Passes over the member's data."""
        while (event := await self._next()) is not None:
            if isinstance(event, End):
                return
        self._archive.finish()

    async def document(self) -> bytes:
        """The member's data in one piece. Raises Unknown if there is more than a document may have."""
        data = bytearray()
        while (event := await self._next()) is not None:
            match event:
                case Data(piece):
                    if len(data) <= documents.LIMIT:
                        data += piece
                case End():
                    return bytes(data)
                case _:
                    break
        raise Unknown("unexpected EOF")

    async def copy_to(self, blob: BlobWriter, size: int) -> None:
        """Writes the member's data to *blob*. Raises Unknown if the stream ends before *size* bytes."""
        while (event := await self._next()) is not None:
            match event:
                case Data(piece):
                    await blob.write(piece)
                case End():
                    return
                case _:
                    break
        raise Unknown(f"short read: expected {size} bytes but got {blob.size}: unexpected EOF")

    async def _next(self) -> Member | Data | End | None:
        self._count += 1
        if self._count % _EVENTS_IN_A_ROW == 0:
            # What has come already is read without waiting: others must get their turn nevertheless.
            await asyncio.sleep(0)
        while True:
            event = next(self._events, None)
            if event is not None:
                return event
            if self._over or self._archive.ended:
                return None
            piece = await anext(self._pieces, None)
            if piece is None:
                self._over = True
                return None
            self._events = iter(self._archive.feed(piece))
