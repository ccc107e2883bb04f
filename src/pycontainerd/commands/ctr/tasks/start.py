"""`ctr tasks start`."""

from __future__ import annotations

from pycontainerd.commands.ctr.flags import BOOL, Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = (
    Flag("no-pivot", BOOL, "Enter the root file system without pivot_root"),
    Flag("null-io", BOOL, "Throw away its output, give it no input"),
    Flag("log-uri", usage="Where the shim writes the output: file:///path or binary:///program"),
    Flag("fifo-dir", usage="Directory for the fifos of its input and output"),
    Flag("pid-file", usage="File to write the pid of the process to"),
    Flag("detach,d", BOOL, "Leave it running"),
)
USAGE = "[flags] CONTAINER"


async def run(ctx: Context) -> int:
    container_id = ctx.needed(0, "container id must be provided")

    from pycontainerd.commands.ctr.container.running import run_task
    from pycontainerd.oci import spec

    client = await ctx.client()
    container = await client.containers.get(container_id)
    process = spec.decode(container.spec.value, name=f"spec of {container_id}").process
    mounts = []
    if container.snapshot_key:
        mounts = await client.snapshots(container.snapshotter).mounts(container.snapshot_key)
    terminal = process is not None and process.terminal
    return await run_task(ctx, client, container, terminal_wanted=terminal, rootfs=mounts, detached=ctx.flag("detach"))
