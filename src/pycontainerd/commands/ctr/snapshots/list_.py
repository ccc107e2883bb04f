"""`ctr snapshots list`."""

from __future__ import annotations

from pycontainerd.commands.ctr import tables
from pycontainerd.commands.ctr.snapshots.chosen import kind_word, snapshots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = ()
USAGE = ""


async def run(ctx: Context) -> None:
    infos = await (await snapshots(ctx)).list()
    rows = [(info.name, info.parent, kind_word(info.kind)) for info in infos]
    tables.show([("KEY", "PARENT", "KIND"), *rows], tables.NARROW)
