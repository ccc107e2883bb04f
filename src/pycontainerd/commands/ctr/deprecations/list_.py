"""`ctr deprecations list`."""

from __future__ import annotations

from pycontainerd.commands.ctr.flags import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = (Flag("format", usage="json, or a table for everything else"),)
USAGE = ""


async def run(ctx: Context) -> None:
    import sys

    from pycontainerd.commands.ctr import documents, tables

    # It prints the warnings; it needs not log them.
    client = await ctx.client(warn=False)
    warnings = (await client.introspection.server()).deprecations
    if not warnings:
        return
    rows = [(each.id, documents.time_value(each.last_occurrence), each.message) for each in warnings]
    if ctx.text("format") == "json":
        documents.show(
            [dict(zip(("id", "message", "lastOccurrence"), (row[0], row[2], row[1]), strict=True)) for row in rows]
        )
        return
    lines = ["ID\tLAST OCCURRENCE\tMESSAGE\t", *("\t".join(row) for row in rows)]
    sys.stdout.write(tables.layout(lines, tables.WIDE))
