"""`ctr containers checkpoint`."""

from __future__ import annotations

import contextlib

from pycontainerd.commands.ctr.flags import BOOL, Flag
from pycontainerd.errors import Error, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pycontainerd.api.containerd.services.containers.v1_pb2 import Container
    from pycontainerd.client.client import Client
    from pycontainerd.commands.ctr.context import Context

FLAGS = (
    Flag("rw", BOOL, "Include what the container has changed in its root file system"),
    Flag("image", BOOL, "Include the image of the container"),
    Flag("task", BOOL, "Include the state of the running task, by criu"),
)
USAGE = "[flags] CONTAINER REF"


async def run(ctx: Context) -> None:
    container_id = ctx.needed(0, "container id must be provided")
    ref = ctx.needed(1, "ref must be provided")
    client = await ctx.client()
    container = await client.containers.get(container_id)
    async with _paused(ctx, client, container_id), client.leased() as leased:
        await _take(ctx, leased, container, ref)


async def _take(ctx: Context, client: Client, container: Container, ref: str) -> None:
    from pycontainerd.api.containerd.runc.v1_pb2 import CheckpointOptions
    from pycontainerd.client import checkpoints
    from pycontainerd.client.streams import pack
    from pycontainerd.oci.image import ANNOTATION_REF_NAME

    parts = checkpoints.Parts(client, container)
    parts.annotations[ANNOTATION_REF_NAME] = (await client.images.get(container.image)).name
    parts.annotations[checkpoints.RUNTIME] = container.runtime.name
    parts.annotations[checkpoints.SNAPSHOTTER] = container.snapshotter
    await parts.add_runtime_options()
    if ctx.flag("image"):
        await parts.add_image()
    if ctx.flag("rw"):
        await parts.add_changes()
    if ctx.flag("task"):
        options = pack(CheckpointOptions(file_locks=True))
        await parts.add_task(options)
        await parts.add_document(options, checkpoints.OPTIONS, f"{container.id}-checkpoint-options")
    await parts.commit(ref, f"{container.id}index")


@contextlib.asynccontextmanager
async def _paused(ctx: Context, client: Client, container_id: str) -> AsyncIterator[None]:
    """Keeps the task paused for the block, if there is one. Raises what refuses to be paused."""
    try:
        await client.tasks.get(container_id)
    except NotFound:
        yield
        return
    await client.tasks.pause(container_id)
    try:
        yield
    finally:
        try:
            await client.tasks.resume(container_id)
        except Error as error:
            ctx.print(f"error resuming task: {error}")
