"""`ctr df`."""

from __future__ import annotations

from pycontainerd.commands.ctr.flags import BOOL, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = (Flag("all,A", BOOL, "Show the images of all namespaces"),)
USAGE = ""
DESCRIPTION = """COMPRESSED are the blobs of an image, UNPACKED its snapshots. SHARED is what other images keep as well,
UNIQUE what goes with the image."""


async def run(ctx: Context) -> None:
    from pycontainerd.commands.ctr import tables
    from pycontainerd.commands.ctr.values import decimal_size

    usage = await (await ctx.client()).gc.disk_usage(all_namespaces=ctx.flag("all"))
    head: tuple[str, ...] = ("IMAGE", "COMPRESSED", "UNPACKED", "SHARED", "UNIQUE")
    rows: list[tuple[str, ...]] = []
    for each in usage.images:
        sizes = map(decimal_size, (each.compressed, each.unpacked, each.shared, each.unique))
        rows.append((each.namespace, each.name, *sizes) if ctx.flag("all") else (each.name, *sizes))
    if ctx.flag("all"):
        head = ("NAMESPACE", *head)
    if rows:
        tables.show([head, *rows], tables.NARROW)
        ctx.print()
    totals = (("content", usage.content), ("snapshots", usage.snapshots), ("reclaimable", usage.reclaimable))
    tables.show([(name, decimal_size(size)) for name, size in totals], tables.NARROW)
