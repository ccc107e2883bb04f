"""`ctr namespaces remove`."""

from __future__ import annotations

import os

from pycontainerd.commands.ctr.flags import BOOL, Flag
from pycontainerd.errors import Error, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = (Flag("cgroup,c", BOOL, "Delete the cgroup of the namespace first"),)
USAGE = "[flags] <name> [<name>, ...]"
CGROUPS = "/sys/fs/cgroup"


async def run(ctx: Context) -> None:
    client = await ctx.client()
    first: Error | None = None
    for name in ctx.arguments:
        if ctx.flag("cgroup"):
            delete_cgroup(name)
        try:
            await client.namespaces.delete(name)
        except NotFound:
            pass
        except Error as error:
            from pycontainerd.commands.ctr import logs

            first = first or error.within(f"unable to delete {name}")
            logs.error(f"unable to delete {name}", error=error)
            continue
        ctx.print(name)
    if first is not None:
        raise first


def delete_cgroup(name: str) -> None:
    """Removes the empty cgroup `/<name>` in every hierarchy. Raises OSError if something is left in it."""
    unified = os.path.exists(f"{CGROUPS}/cgroup.controllers")
    for top in [CGROUPS] if unified else sorted(f"{CGROUPS}/{each}" for each in os.listdir(CGROUPS)):
        path = os.path.join(top, name)
        if os.path.isdir(path):
            os.rmdir(path)
