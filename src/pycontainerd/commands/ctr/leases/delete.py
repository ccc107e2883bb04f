"""`ctr leases delete`."""

from __future__ import annotations

from pycontainerd.commands.ctr.context import ShowHelp
from pycontainerd.commands.ctr.flags import BOOL, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = (Flag("sync", BOOL, "Return when what they held is collected"),)
USAGE = "[flags] <lease id> ..."


async def run(ctx: Context) -> None:
    if not ctx.arguments:
        raise ShowHelp
    client = await ctx.client()
    for place, lease_id in enumerate(ctx.arguments):
        last = place == len(ctx.arguments) - 1
        await client.leases.delete(lease_id, sync=ctx.flag("sync") and last)
        ctx.print(lease_id)
