"""`ctr leases list`."""

from __future__ import annotations

from pycontainerd.commands.ctr.common import QUIET
from pycontainerd.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = (QUIET,)
USAGE = "[flags] [<filter>, ...]"


async def run(ctx: Context) -> None:
    client = await ctx.client()
    try:
        leases = await client.leases.list(*ctx.arguments)
    except Error as error:
        raise error.within("failed to list leases") from error
    if ctx.flag("quiet"):
        for lease in leases:
            ctx.print(lease.id)
        return
    from pycontainerd.commands.ctr import tables
    from pycontainerd.commands.ctr.values import labels_text, local_seconds

    rows = [(lease.id, local_seconds(lease.created_at), labels_text(lease.labels)) for lease in leases]
    tables.show([("ID", "CREATED AT", "LABELS"), *rows], tables.NARROW)
