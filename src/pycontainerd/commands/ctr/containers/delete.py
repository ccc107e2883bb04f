"""`ctr containers delete`."""

from __future__ import annotations

import contextlib

from pycontainerd.commands.ctr.flags import BOOL, Flag
from pycontainerd.errors import Error, FailedPrecondition, InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.client.client import Client
    from pycontainerd.commands.ctr.context import Context

FLAGS = (Flag("keep-snapshot", BOOL, "Keep the snapshot of its root file system"),)
USAGE = "[flags] CONTAINER [CONTAINER, ...]"


async def run(ctx: Context) -> None:
    client = await ctx.client()
    if not ctx.arguments:
        raise InvalidArgument("must specify at least one container to delete")
    first: Error | None = None
    for container_id in ctx.arguments:
        try:
            await _delete(client, container_id, keep_snapshot=ctx.flag("keep-snapshot"))
        except Error as error:
            from pycontainerd.commands.ctr import logs

            first = first or error
            logs.error(f'failed to delete container "{container_id}"', error=error)
    if first is not None:
        raise first


async def _delete(client: Client, container_id: str, *, keep_snapshot: bool) -> None:
    container = await client.containers.get(container_id)
    await _delete_stopped_task(client, container_id)
    if container.snapshot_key and not keep_snapshot:
        with contextlib.suppress(NotFound):
            await client.snapshots(container.snapshotter).remove(container.snapshot_key)
    await client.containers.delete(container_id)


async def _delete_stopped_task(client: Client, container_id: str) -> None:
    from pycontainerd.commands.ctr.tasks.status import CREATED, STOPPED, status_word

    try:
        task = await client.tasks.get(container_id)
    except NotFound:
        return
    if task.status not in {CREATED, STOPPED}:
        word = status_word(task.status).lower()
        raise FailedPrecondition(
            f"cannot delete a non stopped container: {{{word} 0 0001-01-01 00:00:00 +0000 UTC}}", bare=True
        )
    from pycontainerd.commands.ctr.tasks.ending import end_task

    await end_task(client, container_id)
