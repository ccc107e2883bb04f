"""`ctr info`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = ()
USAGE = ""


async def run(ctx: Context) -> None:
    from pycontainerd.commands.ctr import documents

    client = await ctx.client()
    documents.show({"server": documents.message_value(await client.introspection.server())})
