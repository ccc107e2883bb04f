"""`ctr snapshots info`."""

from __future__ import annotations

from pycontainerd.commands.ctr.context import ShowHelp
from pycontainerd.commands.ctr.snapshots.chosen import kind_word, snapshots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = ()
USAGE = "<key>"


async def run(ctx: Context) -> None:
    if not ctx.argument(0):
        raise ShowHelp
    from pycontainerd.commands.ctr import documents

    info = await (await snapshots(ctx)).stat(ctx.argument(0))
    value: dict[str, object] = {"Kind": kind_word(info.kind), "Name": info.name}
    if info.parent:
        value["Parent"] = info.parent
    if info.labels:
        value["Labels"] = dict(sorted(info.labels.items()))
    value["Created"] = documents.time_value(info.created_at)
    value["Updated"] = documents.time_value(info.updated_at)
    documents.show(value)
