"""`ctr version`."""

from __future__ import annotations

import platform
import sys

from pycontainerd import CONTAINERD_VERSION, VERSION
from pycontainerd.commands.ctr.context import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = ()
RAW_ERRORS = True
USAGE = ""


def program_version() -> str:
    """What this program calls its version: containerd's whose interfaces it speaks, and our own."""
    return f"{CONTAINERD_VERSION}+pycontainerd.{VERSION}"


async def run(ctx: Context) -> None:
    if ctx.arguments:
        raise Refused(f"extra arguments: &[{' '.join(ctx.arguments)}]")
    ctx.print(
        f"Client:\n  Version:  {program_version()}\n  Revision: \n  Python version: {platform.python_version()}\n"
    )
    sys.stdout.flush()
    client = await ctx.client()
    version = await client.version.get()
    server = await client.introspection.server()
    ctx.print(f"Server:\n  Version:  {version.version}\n  Revision: {version.revision}\n  UUID: {server.uuid}")
    if version.version != program_version():
        sys.stderr.write("WARNING: version mismatch\n")
    if version.revision:
        sys.stderr.write("WARNING: revision mismatch\n")
