"""`ctr content active`."""

from __future__ import annotations

from pycontainerd.commands.ctr.flags import DURATION, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = (
    Flag("timeout,t", DURATION, "Time for the command", env="CONTAINERD_FETCH_TIMEOUT"),
    Flag("root", usage="Without effect", default="/tmp/content"),  # noqa: S108 - a default of the original, not used
)
USAGE = "[flags] [<filter>]"


async def run(ctx: Context) -> None:
    client = await ctx.client()
    # Without an argument the filter is empty, and matches all.
    statuses = await client.content.statuses(ctx.argument(0))
    from pycontainerd.commands.ctr import tables
    from pycontainerd.commands.ctr.values import age_of, decimal_size

    rows = [(each.ref, decimal_size(each.offset), age_of(each.started_at)) for each in statuses]
    tables.show([("REF", "SIZE", "AGE"), *rows], tables.TABBED)
