"""`ctr snapshots mounts`."""

from __future__ import annotations

from pycontainerd.commands.ctr.context import ShowHelp
from pycontainerd.commands.ctr.snapshots.chosen import snapshots
from pycontainerd.commands.ctr.snapshots.showing import show_commands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = ()
USAGE = "<target> <key>"


async def run(ctx: Context) -> None:
    if len(ctx.arguments) != 2:
        raise ShowHelp
    target, key = ctx.arguments
    show_commands(ctx, target, await (await snapshots(ctx)).mounts(key))
