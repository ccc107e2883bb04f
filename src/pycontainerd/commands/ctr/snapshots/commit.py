"""`ctr snapshots commit`."""

from __future__ import annotations

from pycontainerd.commands.ctr.context import ShowHelp
from pycontainerd.commands.ctr.snapshots.chosen import root_label, snapshots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = ()
USAGE = "<key> <active>"


async def run(ctx: Context) -> None:
    if len(ctx.arguments) != 2:
        raise ShowHelp
    await (await snapshots(ctx)).commit(ctx.argument(0), ctx.argument(1), root_label())
