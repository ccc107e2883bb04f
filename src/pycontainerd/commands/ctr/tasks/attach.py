"""`ctr tasks attach`."""

from __future__ import annotations

from contextlib import ExitStack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = ()
USAGE = "CONTAINER"


async def run(ctx: Context) -> int:
    import gc

    from pycontainerd.commands.ctr.container import attending, stdio, terminal
    from pycontainerd.commands.ctr.tasks.target import container_and_task

    gc.enable()
    client = await ctx.client()
    container_id = ctx.argument(0)
    _, task = await container_and_task(client, container_id)
    streams = stdio.Stdio(task.stdin, task.stdout, task.stderr, terminal=task.terminal)
    with ExitStack() as stack:
        screen = stack.enter_context(terminal.raw_terminal()) if task.terminal else None
        process = attending.Attended(client, ctx.driver, container_id, screen=screen)
        async with stdio.Copying(ctx.driver, streams, process.close_stdin) as copying:
            await process.run(copying)
        code = (await client.tasks.delete(container_id)).exit_status
        streams.remove()
    return code
