"""`ctr images tag`."""

from __future__ import annotations

import contextlib

from pycontainerd.commands.ctr.flags import BOOL, Flag
from pycontainerd.errors import AlreadyExists, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.client.client import Client
    from pycontainerd.commands.ctr.context import Context

FLAGS = (
    Flag("force", BOOL, "Replace names that exist (with --local)"),
    Flag("local", BOOL, "Do it here instead of in the daemon"),
    Flag("skip-reference-check", BOOL, "Take any text as a name"),
)
USAGE = "[flags] <source_ref> <target_ref> [<target_ref>, ...]"


async def run(ctx: Context) -> None:
    source = ctx.needed(0, "please provide an image reference to tag from")
    ctx.needed(1, "please provide an image reference to tag to")
    client = await ctx.client()
    targets = ctx.arguments[1:]
    if not ctx.flag("skip-reference-check"):
        from pycontainerd.commands.ctr.images.reference import check_reference

        for target in targets:
            check_reference(target)
    for target in targets:
        if ctx.flag("local"):
            await _tag_here(client, source, target, force=ctx.flag("force"))
        else:
            await client.transfer.tag(source, target)
        ctx.print(target)


async def _tag_here(client: Client, source: str, target: str, *, force: bool) -> None:
    async with client.leased() as held:
        image = await held.images.get(source)
        image.name = target
        try:
            await held.images.create(image)
        except AlreadyExists:
            if not force:
                raise
            with contextlib.suppress(NotFound):
                await held.images.delete(target)
            await held.images.create(image)
