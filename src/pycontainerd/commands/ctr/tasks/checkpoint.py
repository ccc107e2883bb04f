"""`ctr tasks checkpoint`."""

from __future__ import annotations

import contextlib

from pycontainerd.commands.ctr.flags import BOOL, Flag
from pycontainerd.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from google.protobuf.any_pb2 import Any

    from pycontainerd.api.containerd.services.containers.v1_pb2 import Container
    from pycontainerd.client.client import Client
    from pycontainerd.commands.ctr.context import Context

FLAGS = (
    Flag("exit", BOOL, "Stop the task afterwards"),
    Flag("image-path", usage="Directory for the files of criu; no image is made then"),
    Flag("work-path", usage="Directory for the work and the logs of criu"),
)
USAGE = "[flags] CONTAINER"
_PAUSED = 4


async def run(ctx: Context) -> None:
    container_id = ctx.needed(0, "container id must be provided")

    from pycontainerd.client import checkpoints
    from pycontainerd.commands.ctr.tasks.target import container_and_task

    client = await ctx.client()
    container, task = await container_and_task(client, container_id)
    async with client.leased() as leased:
        paused = contextlib.nullcontext() if task.status == _PAUSED else _paused(client, container_id)
        async with paused:
            parts = checkpoints.Parts(leased, container)
            if not await parts.add_task(_options(ctx, container)):
                return
            if container.image:
                await parts.add_image()
                parts.annotations[checkpoints.IMAGE_NAME] = container.image
            if container.snapshot_key:
                await parts.add_changes()
            name = checkpoints.default_name(container_id)
            image = await parts.commit(name, container_id, {"containerd.io/checkpoint": "true"})
    ctx.print(image.name)


def _options(ctx: Context, container: Container) -> Any | None:
    from pycontainerd.commands.ctr.container.flags import RUNC

    if container.runtime.name != RUNC:
        return None
    from pycontainerd.api.containerd.runc.v1_pb2 import CheckpointOptions
    from pycontainerd.client.streams import pack

    return pack(
        CheckpointOptions(exit=ctx.flag("exit"), image_path=ctx.text("image-path"), work_path=ctx.text("work-path"))
    )


@contextlib.asynccontextmanager
async def _paused(client: Client, container_id: str) -> AsyncIterator[None]:
    """Keeps a task paused for the block, which may end it."""
    await client.tasks.pause(container_id)
    try:
        yield
    finally:
        with contextlib.suppress(Error):
            await client.tasks.resume(container_id)
