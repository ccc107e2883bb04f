"""`ctr namespaces list`."""

from __future__ import annotations

from pycontainerd.commands.ctr.common import QUIET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = (QUIET,)
USAGE = "[flags]"


async def run(ctx: Context) -> None:
    client = await ctx.client()
    namespaces = await client.namespaces.list()
    if ctx.flag("quiet"):
        for namespace in namespaces:
            ctx.print(namespace.name)
        return
    from pycontainerd.commands.ctr import tables
    from pycontainerd.commands.ctr.values import labels_text

    rows = [(namespace.name, labels_text(namespace.labels, "")) for namespace in namespaces]
    tables.show([("NAME", "LABELS"), *rows], tables.NARROW)
