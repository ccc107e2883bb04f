"""`ctr snapshots delete`."""

from __future__ import annotations

from pycontainerd.commands.ctr.snapshots.chosen import snapshots
from pycontainerd.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = ()
USAGE = "<key> [<key>, ...]"


async def run(ctx: Context) -> None:
    chosen = await snapshots(ctx)
    for key in ctx.arguments:
        try:
            await chosen.remove(key)
        except Error as error:
            raise error.within(f'failed to remove "{key}"') from error
