"""`ctr images label`."""

from __future__ import annotations

from pycontainerd.commands.ctr.flags import BOOL, Flag
from pycontainerd.commands.ctr.values import labels_text, parse_labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = (Flag("replace-all,r", BOOL, "Drop the labels that are not named"),)
USAGE = "[flags] <ref> [<key>=<value>, ...]"
DESCRIPTION = "An empty value clears the label."


async def run(ctx: Context) -> None:
    from pycontainerd.api.containerd.services.images.v1_pb2 import Image

    labels = parse_labels(ctx.arguments[1:])
    client = await ctx.client()
    name = ctx.needed(0, "please specify an image")
    paths = ["labels"] if labels and ctx.flag("replace-all") else [f"labels.{key}" for key in labels]
    image = Image(name=name, labels=labels)
    # There, though empty: containerd 2.3.4 dies of an image without a target.
    image.target.SetInParent()
    updated = await client.images.update(image, paths)
    ctx.print(labels_text(updated.labels, ""))
