"""`ctr content list`."""

from __future__ import annotations

from pycontainerd.commands.ctr.common import QUIET
from pycontainerd.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = (QUIET,)
COLUMNS = ("DIGEST", "SIZE", "AGE", "LABELS")
USAGE = "[flags] [<filter>, ...]"


async def run(ctx: Context) -> None:
    client = await ctx.client()
    try:
        blobs = await client.content.list(*ctx.arguments)
    except Error:
        # The original asks while it prints.
        if not ctx.flag("quiet"):
            ctx.print("\t".join(COLUMNS))
        raise
    if ctx.flag("quiet"):
        for blob in blobs:
            ctx.print(blob.digest)
        return
    from pycontainerd.commands.ctr import tables
    from pycontainerd.commands.ctr.values import age_of, decimal_size, labels_text

    rows = [(blob.digest, decimal_size(blob.size), age_of(blob.created_at), labels_text(blob.labels)) for blob in blobs]
    tables.show([COLUMNS, *rows], tables.TABBED, ended=False)
