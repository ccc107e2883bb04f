"""`ctr snapshots tree`."""

from __future__ import annotations

from pycontainerd.commands.ctr.snapshots.chosen import snapshots

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = ()
USAGE = ""


async def run(ctx: Context) -> None:
    infos = await (await snapshots(ctx)).list()
    children: dict[str, list[str]] = {info.name: [] for info in infos}
    for info in infos:
        if info.parent:
            children.setdefault(info.parent, []).append(info.name)
    # Without recursion: a chain of snapshots is as long as people stack them.
    pending = [(info.name, 0) for info in reversed(infos) if not info.parent]
    while pending:
        name, depth = pending.pop()
        ctx.print(f"{'  ' * depth}\\_ {name}" if depth else f" {name}")
        pending += [(child, depth + 1) for child in reversed(children[name])]
