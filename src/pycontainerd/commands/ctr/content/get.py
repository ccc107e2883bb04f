"""`ctr content get`."""

from __future__ import annotations

import sys

from pycontainerd.commands.ctr.content.digests import parse_digest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = ()
USAGE = "[<digest>, ...]"


async def run(ctx: Context) -> None:
    digest = parse_digest(ctx.argument(0))
    client = await ctx.client()
    out = sys.stdout.buffer
    async for data in client.content.read(digest):
        out.write(data)
    out.flush()
