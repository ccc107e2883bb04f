"""`ctr containers label`."""

from __future__ import annotations

from pycontainerd.commands.ctr.values import labels_text, parse_labels
from pycontainerd.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = ()
USAGE = "[flags] CONTAINER [<key>=<value>, ...]"
DESCRIPTION = "An empty value clears the label."


async def run(ctx: Context) -> None:
    container_id = ctx.argument(0)
    if not container_id:
        raise InvalidArgument("container id must be provided")
    from pycontainerd.api.containerd.services.containers.v1_pb2 import Container

    labels = parse_labels(ctx.arguments[1:])
    client = await ctx.client()
    await client.containers.get(container_id)
    container = Container(id=container_id, labels=labels)
    updated = await client.containers.update(container, [f"labels.{key}" for key in labels])
    ctx.print(labels_text(updated.labels, ""))
