"""`ctr snapshots prepare`."""

from __future__ import annotations

from pycontainerd.commands.ctr.context import ShowHelp
from pycontainerd.commands.ctr.snapshots.chosen import root_label, snapshots
from pycontainerd.commands.ctr.snapshots.showing import MOUNT_FLAGS, show_mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = MOUNT_FLAGS
USAGE = "[flags] <key> [<parent>]"


async def run(ctx: Context) -> None:
    if not 1 <= len(ctx.arguments) <= 2:
        raise ShowHelp
    mounts = await (await snapshots(ctx)).prepare(ctx.argument(0), ctx.argument(1), root_label())
    show_mounts(ctx, mounts)
