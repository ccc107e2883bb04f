"""`ctr content list`."""

from __future__ import annotations

from pycontainerd.commands.ctr.common import QUIET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = (QUIET,)
USAGE = "[flags] [<filter>, ...]"


async def run(ctx: Context) -> None:
    client = await ctx.client()
    blobs = await client.content.list(*ctx.arguments)
    if ctx.flag("quiet"):
        for blob in blobs:
            ctx.print(blob.digest)
        return
    from pycontainerd.commands.ctr import tables
    from pycontainerd.commands.ctr.values import age_of, decimal_size, labels_text

    rows = [(blob.digest, decimal_size(blob.size), age_of(blob.created_at), labels_text(blob.labels)) for blob in blobs]
    tables.show([("DIGEST", "SIZE", "AGE", "LABELS"), *rows], tables.TABBED, ended=False)
