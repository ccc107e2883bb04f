"""`ctr namespaces label`."""

from __future__ import annotations

from pycontainerd.commands.ctr.values import parse_labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = ()
USAGE = "<name> [<key>=<value>, ...]"
DESCRIPTION = "An empty value clears the label."


async def run(ctx: Context) -> None:
    name = ctx.needed(0, "please specify a namespace")
    client = await ctx.client()
    for key, value in parse_labels(ctx.arguments[1:]).items():
        await client.namespaces.set_label(name, key, value)
