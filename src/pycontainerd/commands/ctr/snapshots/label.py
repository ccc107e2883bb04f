"""`ctr snapshots label`."""

from __future__ import annotations

from pycontainerd.commands.ctr.snapshots.chosen import snapshots
from pycontainerd.commands.ctr.values import labels_text, parse_labels

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = ()
USAGE = "<name> [<label>=<value> ...]"
DESCRIPTION = "An empty value clears the label."


async def run(ctx: Context) -> None:
    from pycontainerd.api.containerd.services.snapshots.v1_pb2 import Info

    chosen = await snapshots(ctx)
    name, labels = ctx.argument(0), parse_labels(ctx.arguments[1:])
    if labels:
        info = await chosen.update(Info(name=name, labels=labels), [f"labels.{key}" for key in labels])
    else:
        info = await chosen.stat(name)
    ctx.print(labels_text(info.labels, ""))
