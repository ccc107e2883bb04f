"""`ctr tasks delete`."""

from __future__ import annotations

import contextlib
import signal

from pycontainerd.commands.ctr import logs
from pycontainerd.commands.ctr.container.fifos import remove_fifos
from pycontainerd.commands.ctr.flags import BOOL, Flag
from pycontainerd.commands.ctr.tasks.ending import end_task
from pycontainerd.errors import Error, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.client.client import Client
    from pycontainerd.commands.ctr.context import Context

FLAGS = (
    Flag("force,f", BOOL, "Kill everything in it first"),
    Flag("exec-id", usage="Process to delete instead of the task"),
)
USAGE = "CONTAINER [CONTAINER, ...]"


async def run(ctx: Context) -> int:
    client = await ctx.client()
    exec_id = ctx.text("exec-id")
    if exec_id:
        return await _delete_process(client, ctx, exec_id)
    first: Error | None = None
    for container_id in ctx.arguments:
        try:
            await _delete_task(client, container_id, force=ctx.flag("force"))
        except Error as error:
            first = first or error
    if first is not None:
        raise first
    return 0


async def _delete_process(client: Client, ctx: Context, exec_id: str) -> int:
    from pycontainerd.commands.ctr.tasks.target import container_and_task

    container_id = ctx.argument(0)
    await container_and_task(client, container_id)
    try:
        process = await client.tasks.get(container_id, exec_id)
    except NotFound as error:
        raise error.within("no running process found") from error
    if ctx.flag("force"):
        with contextlib.suppress(NotFound):
            await client.tasks.kill(container_id, signal.SIGKILL, exec_id=exec_id)
        await client.tasks.wait(container_id, exec_id)
    ended = await client.tasks.delete_process(container_id, exec_id)
    remove_fifos(process.stdin, process.stdout, process.stderr)
    return ended.exit_status


async def _delete_task(client: Client, container_id: str, *, force: bool) -> None:
    from pycontainerd.commands.ctr.tasks.target import container_and_task

    try:
        await container_and_task(client, container_id)
    except Error as error:
        logs.error(f"failed to load task from {container_id}", error=error)
        raise
    try:
        ended = await end_task(client, container_id, force=force)
    except Error as error:
        logs.error(f"unable to delete {container_id}", error=error)
        raise
    if ended.exit_status:
        logs.warning(f"task {container_id} exit with non-zero exit code {ended.exit_status}")
