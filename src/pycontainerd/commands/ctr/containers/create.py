"""`ctr containers create`."""

from __future__ import annotations

from pycontainerd.commands.ctr.container.flags import CONTAINER_FLAGS, RUNTIME_FLAGS
from pycontainerd.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = (*RUNTIME_FLAGS, *CONTAINER_FLAGS)
USAGE = "[flags] Image|RootFS CONTAINER [COMMAND] [ARG...]"


async def run(ctx: Context) -> None:
    from pycontainerd.commands.ctr.container.record import create_container

    container_id = _container_id(ctx)
    client = await ctx.client()
    await create_container(ctx, client, container_id)


def _container_id(ctx: Context) -> str:
    """As for `run`, with the words of this command."""
    if ctx.text("config"):
        if len(ctx.arguments) > 1:
            raise InvalidArgument("with spec config file, only container id should be provided")
        place = 0
    else:
        if not ctx.argument(0):
            raise InvalidArgument("image ref must be provided")
        place = 1
    if not ctx.argument(place):
        raise InvalidArgument("container id must be provided")
    return ctx.argument(place)
