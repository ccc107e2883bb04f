"""Writing blobs into the content store of a transfer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from pycontainerd.content.model import Digest
from pycontainerd.errors import AlreadyExists, Error
from pycontainerd.oci.image import Descriptor
from pycontainerd.transfer.context import Context
from pycontainerd.transfer.seams import Writer

TOGETHER: Final = 1 << 20
"""Bytes that are gathered before they are written: hashing and writing them then fills two threads."""


class BlobWriter:
    """A blob that comes in pieces."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._pieces: list[bytes] = []
        self._gathered = 0
        self.size = 0

    async def write(self, piece: memoryview | bytes) -> None:
        self._pieces.append(bytes(piece))
        self._gathered += len(piece)
        self.size += len(piece)
        if self._gathered >= TOGETHER:
            await self._flush()

    async def finish(self, labels: Mapping[str, str] | None = None) -> Digest:
        """The blob is whole: commits it. One that is there already is as good."""
        await self._flush()
        digest = Digest.parse(self._writer.digest)
        try:
            return await self._writer.commit(self.size, "", labels)
        except AlreadyExists:
            return digest

    async def _flush(self) -> None:
        if self._pieces:
            data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
            self._pieces.clear()
            self._gathered = 0
            await self._writer.write(data)


@asynccontextmanager
async def writing(context: Context, ref: str, *, total: int = 0) -> AsyncIterator[BlobWriter]:
    """A new blob under the ingest *ref*; what an earlier attempt left of it is dropped."""
    opening = context.content.ingest(context.namespace, ref, total=total, lease=context.lease, patient=True)
    try:
        writer = await opening.__aenter__()
    except Error as error:
        raise error.within("failed to open writer") from error
    try:
        if writer.offset:
            await writer.truncate()
        yield BlobWriter(writer)
    finally:
        await opening.__aexit__(None, None, None)


async def store(context: Context, data: bytes, media_type: str) -> Descriptor:
    """Stores a document and names it."""
    digest = Digest.of(data)
    descriptor = Descriptor(media_type, str(digest), len(data))
    try:
        async with context.content.ingest(
            context.namespace,
            f"manifest-{digest}",
            total=len(data),
            expected=str(digest),
            lease=context.lease,
            patient=True,
        ) as writer:
            if not writer.offset:
                await writer.write(data)
            await writer.commit(len(data), str(digest))
    except AlreadyExists:
        return descriptor
    return descriptor
