"""`ctr containers list`."""

from __future__ import annotations

from pycontainerd.commands.ctr.common import QUIET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = (QUIET,)
USAGE = "[flags] [<filter>, ...]"


async def run(ctx: Context) -> None:
    client = await ctx.client()
    containers = await client.containers.list(*ctx.arguments)
    if ctx.flag("quiet"):
        for container in containers:
            ctx.print(container.id)
        return
    from pycontainerd.commands.ctr import tables

    rows = [(container.id, container.image or "-", container.runtime.name) for container in containers]
    tables.show([("CONTAINER", "IMAGE", "RUNTIME"), *rows], tables.WIDE)
