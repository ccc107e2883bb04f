"""`ctr images import`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import BinaryIO

from pycontainerd.commands.ctr.common import SNAPSHOTTER
from pycontainerd.commands.ctr.flags import BOOL, STRINGS, Flag
from pycontainerd.errors import InvalidArgument, Unimplemented

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.api.containerd.types.transfer_pb2 import ImageStore
    from pycontainerd.client.client import Client
    from pycontainerd.commands.ctr.context import Context

FLAGS = (
    Flag("base-name", usage="Name before the tags of images that have no other"),
    Flag("digests", BOOL, "Name images by their digest as well"),
    Flag("skip-digest-for-named", BOOL, "Name those too by their digest that have a name"),
    Flag("index-name", usage="Name of the index of the archive"),
    Flag("all-platforms", BOOL, "Keep what is for other platforms"),
    Flag("platform", usage="Platform to keep"),
    Flag("no-unpack", BOOL, "Make no snapshots"),
    Flag("local", BOOL, "Do it here instead of in the daemon"),
    Flag("compress-blobs", BOOL, "Compress the layers of a Docker archive"),
    Flag("discard-unpacked-layers", BOOL, "Let the collector take layers that are unpacked; needs --local"),
    Flag("sync-fs", BOOL, "Flush the file system after unpacking; needs --local"),
    SNAPSHOTTER,
    Flag("label", STRINGS, "Label of the images, as key=value"),
)
USAGE = "[flags] <in>"
DESCRIPTION = """Imports the images of an OCI or Docker archive, a file or - for standard input.
What has no full name is named <base-name>:<tag>; the base name is import-<today> unless it is given."""

CHUNK = 1 << 20


async def run(ctx: Context) -> None:
    if ctx.flag("local"):
        raise Unimplemented("images import --local", hint="leave --local out: the daemon imports")
    client = await ctx.client()
    if ctx.flag("discard-unpacked-layers"):
        raise InvalidArgument('"--discard-unpacked-layers" requires "--local" flag', bare=True)
    with _opened(ctx.argument(0)) as archive:
        store = await image_store(ctx, client)
        await _import(ctx, client, store, archive)


def _opened(path: str) -> BinaryIO:
    return open(0, "rb", closefd=False) if path == "-" else open(path, "rb")


async def _import(ctx: Context, client: Client, store: ImageStore, archive: BinaryIO) -> None:
    from pycontainerd.commands.ctr.images.progress import Picture

    picture = Picture()
    try:
        await client.transfer.import_archive(
            _chunks(archive), store, force_compress=ctx.flag("compress-blobs"), tell=picture.tell
        )
    finally:
        picture.finish()


async def _chunks(archive: BinaryIO) -> AsyncIterator[bytes]:
    while data := archive.read(CHUNK):
        yield data


async def image_store(ctx: Context, client: Client) -> ImageStore:
    """How the images are to be named, kept and unpacked. Raises InvalidArgument for a platform that can't be."""
    from pycontainerd.api.containerd.types.transfer_pb2 import ImageStore
    from pycontainerd.commands.ctr.values import parse_labels
    from pycontainerd.oci import platforms

    store = ImageStore(name=ctx.text("index-name"), labels=parse_labels(ctx.texts("label")))
    base = ctx.text("base-name")
    reference = store.extra_references.add(
        name=base or time.strftime("import-%Y-%m-%d"), is_prefix=True, allow_overwrite=not base
    )
    if ctx.flag("digests"):
        reference.add_digest = True
        # The wrong way round, as it is in the original: scripts rely on it.
        reference.skip_named_digest = not ctx.flag("skip-digest-for-named")
    wanted = platforms.parse(ctx.text("platform")) if ctx.text("platform") else platforms.host()
    if not ctx.flag("all-platforms"):
        store.platforms.add(os=wanted.os, architecture=wanted.architecture, variant=wanted.variant)
    if not ctx.flag("no-unpack"):
        unpack = store.unpacks.add(snapshotter=await ctx.snapshotter(client))
        unpack.platform.os, unpack.platform.architecture = wanted.os, wanted.architecture
        unpack.platform.variant = wanted.variant
    return store
