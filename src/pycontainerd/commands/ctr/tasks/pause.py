"""`ctr tasks pause`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = ()
USAGE = "CONTAINER"


async def run(ctx: Context) -> None:
    from pycontainerd.commands.ctr.tasks.target import container_and_task

    client = await ctx.client()
    container_id = ctx.argument(0)
    await container_and_task(client, container_id)
    await client.tasks.pause(container_id)
