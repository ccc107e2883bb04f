"""`ctr tasks list`."""

from __future__ import annotations

from pycontainerd.commands.ctr.common import QUIET

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = (QUIET,)
USAGE = "[flags]"
RAW_ERRORS = True


async def run(ctx: Context) -> None:
    client = await ctx.client()
    tasks = await client.tasks.list()
    if ctx.flag("quiet"):
        for task in tasks:
            ctx.print(task.id)
        return
    import sys

    from pycontainerd.commands.ctr import tables
    from pycontainerd.commands.ctr.tasks.status import status_word

    lines = ["TASK\tPID\tSTATUS\t", *(f"{task.id}\t{task.pid}\t{status_word(task.status)}" for task in tasks)]
    sys.stdout.write(tables.layout(lines, tables.WIDE))
