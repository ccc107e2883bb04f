"""`ctr leases create`."""

from __future__ import annotations

from pycontainerd.commands.ctr.flags import DURATION, Flag
from pycontainerd.commands.ctr.values import parse_labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = (
    Flag("id", usage="Id of the lease; made up if empty"),
    Flag("expires,x", DURATION, "Life of the lease; 0 for ever", default=24 * 3600.0),
)
USAGE = "[flags] <label>=<value> ..."


async def run(ctx: Context) -> None:
    client = await ctx.client()
    labels = parse_labels(ctx.arguments, bare="")
    lease = await client.leases.create(ctx.text("id"), labels=labels, lifetime_s=ctx.number("expires"))
    ctx.print(lease.id)
