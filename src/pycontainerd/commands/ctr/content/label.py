"""`ctr content label`."""

from __future__ import annotations

from pycontainerd.commands.ctr.content.digests import parse_digest
from pycontainerd.commands.ctr.values import labels_text, parse_labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = ()
USAGE = "<digest> [<label>=<value> ...]"
DESCRIPTION = "An empty value clears the label."


async def run(ctx: Context) -> None:
    from pycontainerd.api.containerd.services.content.v1_pb2 import Info

    client = await ctx.client()
    digest = parse_digest(ctx.argument(0))
    labels = parse_labels(ctx.arguments[1:])
    if labels:
        info = await client.content.update(Info(digest=digest, labels=labels), [f"labels.{key}" for key in labels])
    else:
        info = await client.content.info(digest)
    ctx.print(labels_text(info.labels, ""))
