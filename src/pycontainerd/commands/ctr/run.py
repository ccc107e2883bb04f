"""`ctr run`."""

from __future__ import annotations

from contextlib import suppress

from pycontainerd.commands.ctr.container.flags import CONTAINER_FLAGS, RUN_FLAGS, RUNTIME_FLAGS
from pycontainerd.errors import Error, InvalidArgument, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.api.containerd.services.containers.v1_pb2 import Container
    from pycontainerd.client.client import Client
    from pycontainerd.commands.ctr.context import Context

FLAGS = (*RUN_FLAGS, *RUNTIME_FLAGS, *CONTAINER_FLAGS)
USAGE = "[flags] Image|RootFS CONTAINER [COMMAND] [ARG...]"


async def run(ctx: Context) -> int:
    container_id = container_id_of(ctx)
    if ctx.flag("rm") and ctx.flag("detach"):
        raise InvalidArgument("flags --detach and --rm cannot be specified together", bare=True)

    from pycontainerd.commands.ctr.container.record import create_container
    from pycontainerd.commands.ctr.container.running import run_task

    client = await ctx.client()
    container, mounts = await create_container(ctx, client, container_id)
    try:
        if ctx.text("dump-config"):
            _dump_spec(container, ctx.text("dump-config"))
        return await run_task(
            ctx, client, container, terminal_wanted=ctx.flag("tty"), rootfs=mounts, detached=ctx.flag("detach")
        )
    finally:
        if ctx.flag("rm"):
            await _remove(client, container)


def container_id_of(ctx: Context) -> str:
    """The id that the arguments give the new container. Raises InvalidArgument if they don't fit the flags."""
    if ctx.text("config"):
        if len(ctx.arguments) > 1:
            raise InvalidArgument("with spec config file, only container id should be provided", bare=True)
        return ctx.needed(0, "container id must be provided")
    ctx.needed(0, "image ref must be provided")
    return ctx.needed(1, "container id must be provided")


def _dump_spec(container: Container, path: str) -> None:
    import json

    from pycontainerd.commands.ctr import documents

    with open(path, "w", encoding="utf-8") as file:
        file.write(documents.dumps(json.loads(container.spec.value), indent=2))


async def _remove(client: Client, container: Container) -> None:
    from pycontainerd.commands.ctr import logs

    try:
        if container.snapshot_key:
            with suppress(NotFound):
                await client.snapshots(container.snapshotter).remove(container.snapshot_key)
        await client.containers.delete(container.id)
    except Error as error:
        logs.error("failed to cleanup container", error=error)
