"""`ctr tasks kill`."""

from __future__ import annotations

from pycontainerd.commands.ctr.flags import BOOL, Flag
from pycontainerd.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.commands.ctr.context import Context

FLAGS = (
    Flag("signal,s", usage="Signal by name or number; empty means the container's stop signal"),
    Flag("exec-id", usage="Process to signal instead of the first"),
    Flag("all,a", BOOL, "Signal every process of the container"),
)
USAGE = "[flags] CONTAINER"

STOP_SIGNAL_LABEL = "io.containerd.image.config.stop-signal"
CNI_EXTENSION = "ctr.cni-containerd.metadata"


async def run(ctx: Context) -> None:
    from pycontainerd.commands.ctr.tasks.signals import signal_number

    container_id = ctx.needed(0, "container id must be provided")
    exec_id, everyone = ctx.text("exec-id"), ctx.flag("all")
    if everyone and exec_id:
        raise InvalidArgument("specify an exec-id or all; not both", bare=True)

    from pycontainerd.commands.ctr.tasks.target import container_and_task

    client = await ctx.client()
    signal = ctx.text("signal")
    number = signal_number(signal) if signal else 0
    container, _ = await container_and_task(client, container_id)
    if not number:
        number = signal_number(container.labels.get(STOP_SIGNAL_LABEL, "") or "SIGTERM")
    await client.tasks.kill(container_id, number, exec_id=exec_id, everyone=everyone)
