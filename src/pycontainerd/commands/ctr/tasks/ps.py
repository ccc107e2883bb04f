"""`ctr tasks ps`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pycontainerd.commands.ctr import tables

if TYPE_CHECKING:
    from pycontainerd.api.containerd.v1.types_pb2 import ProcessInfo
    from pycontainerd.commands.ctr.context import Context

FLAGS = ()
USAGE = "CONTAINER"


async def run(ctx: Context) -> None:
    from pycontainerd.commands.ctr.tasks.target import container_and_task

    container_id = ctx.needed(0, "container id must be provided")
    client = await ctx.client()
    await container_and_task(client, container_id)
    processes = await client.tasks.pids(container_id)
    rows = [(str(process.pid), _info(process)) for process in processes]
    tables.show([("PID", "INFO"), *rows], tables.PROCESSES, ended=False)


def _info(process: ProcessInfo) -> str:
    if not process.HasField("info"):
        return "-"
    from pycontainerd.api.containerd.runc.v1_pb2 import ProcessDetails
    from pycontainerd.commands.ctr.logs import go_quote

    if process.info.type_url.rpartition("/")[2] != ProcessDetails.DESCRIPTOR.full_name:
        return process.info.type_url
    return f"exec_id:{go_quote(ProcessDetails.FromString(process.info.value).exec_id)}"
