"""`ctr images delete`."""

from __future__ import annotations

from pycontainerd.commands.ctr.flags import BOOL, Flag
from pycontainerd.errors import Error, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = (Flag("sync", BOOL, "Return when what they held is collected"),)
USAGE = "[flags] <ref> [<ref>, ...]"


async def run(ctx: Context) -> None:
    client = await ctx.client()
    first: Error | None = None
    for place, name in enumerate(ctx.arguments):
        last = place == len(ctx.arguments) - 1
        try:
            await client.images.delete(name, sync=ctx.flag("sync") and last)
        except NotFound:
            from pycontainerd.commands.ctr import logs

            logs.warning(f"{name}: image not found")
        except Error as error:
            from pycontainerd.commands.ctr import logs

            first = first or error.within(f"unable to delete {name}")
            logs.error(f"unable to delete {name}", error=error)
        else:
            ctx.print(name)
    if first is not None:
        raise first
