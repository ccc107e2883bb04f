"""`ctr snapshots usage`."""

from __future__ import annotations

from pycontainerd.commands.ctr import tables
from pycontainerd.commands.ctr.flags import BOOL, Flag
from pycontainerd.commands.ctr.snapshots.chosen import snapshots
from pycontainerd.commands.ctr.values import binary_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = (Flag("b", BOOL, "Print sizes in bytes"),)
USAGE = "[flags] [<key>, ...]"


async def run(ctx: Context) -> None:
    chosen = await snapshots(ctx)
    keys = ctx.arguments or [info.name for info in await chosen.list()]
    rows = [("KEY", "SIZE", "INODES")]
    for key in keys:
        usage = await chosen.usage(key)
        size = str(usage.size) if ctx.flag("b") else binary_size(usage.size)
        rows.append((key, size, str(usage.inodes)))
    tables.show(rows, tables.NARROW)
