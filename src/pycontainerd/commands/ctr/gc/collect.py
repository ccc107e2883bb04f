"""`ctr gc`."""

from __future__ import annotations

from pycontainerd.commands.ctr.flags import BOOL, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = (Flag("dry-run,n", BOOL, "Show what would go, and remove nothing"),)
USAGE = ""
DESCRIPTION = """Removes images and leases that have expired, and blobs and snapshots that nothing needs, in all
namespaces. The daemon does so by itself when something was deleted or has expired."""


async def run(ctx: Context) -> None:
    from pycontainerd.commands.ctr import tables
    from pycontainerd.commands.ctr.values import decimal_size

    collector = (await ctx.client()).gc
    if not ctx.flag("dry-run"):
        done = await collector.run()
        took_s = done.took.seconds + done.took.nanos / 1e9
        ctx.print(f"removed {_counted(done.removed)} in {took_s:.3f} s, freed {decimal_size(done.freed)}")
        return
    would = await collector.dry_run()
    if would.objects:
        rows = [(each.namespace, each.kind, each.name, _size(each.size)) for each in would.objects]
        tables.show([("NAMESPACE", "KIND", "NAME", "SIZE"), *rows], tables.NARROW)
    ctx.print(f"would remove {_counted(len(would.objects))} and free {decimal_size(would.size)}")


def _counted(number: int) -> str:
    return "1 object" if number == 1 else f"{number} objects"


def _size(size: int) -> str:
    from pycontainerd.commands.ctr.values import decimal_size

    return decimal_size(size) if size else "-"
