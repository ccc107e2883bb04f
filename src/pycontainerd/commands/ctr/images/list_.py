"""`ctr images list`."""

from __future__ import annotations

from pycontainerd.commands.ctr.common import QUIET
from pycontainerd.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.api.containerd.services.images.v1_pb2 import Image
    from pycontainerd.client.client import Client
    from pycontainerd.commands.ctr.context import Context

FLAGS = (QUIET,)
USAGE = "[flags] [<filter>, ...]"


async def run(ctx: Context) -> None:
    client = await ctx.client()
    try:
        images = await client.images.list(*ctx.arguments)
    except Error as error:
        raise error.within("failed to list images") from error
    if ctx.flag("quiet"):
        for image in images:
            ctx.print(image.name)
        return
    from pycontainerd.commands.ctr import tables

    rows = [await _row(client, image) for image in images]
    tables.show([("REF", "TYPE", "DIGEST", "SIZE", "PLATFORMS", "LABELS"), *rows], tables.NARROW)


async def _row(client: Client, image: Image) -> tuple[str, ...]:
    from pycontainerd.client.image_content import ImageContent, descriptor_of
    from pycontainerd.commands.ctr import logs
    from pycontainerd.commands.ctr.values import binary_size, labels_text
    from pycontainerd.oci import platforms

    content, target = ImageContent(client.content), descriptor_of(image.target)
    size, names = 0, []
    try:
        size = await content.size(target, platforms.default())
    except Error as error:
        logs.error(f"failed calculating size for image {image.name}", error=error)
    try:
        names = sorted({platforms.format_all(each) for each in await content.platforms(target)})
    except Error as error:
        logs.error(f"failed resolving platform for image {image.name}", error=error)
    return (
        image.name,
        image.target.media_type,
        image.target.digest,
        binary_size(size),
        ",".join(names) or "-",
        labels_text(image.labels),
    )
