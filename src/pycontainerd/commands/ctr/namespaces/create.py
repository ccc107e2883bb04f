"""`ctr namespaces create`."""

from __future__ import annotations

from pycontainerd.commands.ctr.values import parse_labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = ()
USAGE = "<name> [<key>=<value>]"
DESCRIPTION = "A name is letters, digits, '.', '_' and '-', at most 76 of them."


async def run(ctx: Context) -> None:
    name = ctx.needed(0, "please specify a namespace")
    client = await ctx.client()
    await client.namespaces.create(name, parse_labels(ctx.arguments[1:]))
