"""`ctr content delete`."""

from __future__ import annotations

from pycontainerd.commands.ctr.content.digests import parse_digest
from pycontainerd.errors import Error, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = ()
USAGE = "[<digest>, ...]"


async def run(ctx: Context) -> None:
    client = await ctx.client()
    first: Error | None = None
    for digest in ctx.arguments:
        try:
            await client.content.delete(parse_digest(digest))
        except NotFound:
            continue
        except Error as error:
            from pycontainerd.commands.ctr import logs

            first = first or error
            logs.error(f"could not delete {digest}", error=error)
            continue
        ctx.print(digest)
    if first is not None:
        raise first
