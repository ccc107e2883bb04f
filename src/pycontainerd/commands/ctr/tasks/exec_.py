"""`ctr tasks exec`."""

from __future__ import annotations

from contextlib import ExitStack

from pycontainerd.commands.ctr.flags import BOOL, Flag
from pycontainerd.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.api.containerd.services.containers.v1_pb2 import Container
    from pycontainerd.client.client import Client
    from pycontainerd.commands.ctr.container.stdio import Stdio
    from pycontainerd.commands.ctr.context import Context
    from pycontainerd.oci.spec import Process

FLAGS = (
    Flag("cwd", usage="Directory of the process"),
    Flag("tty,t", BOOL, "Give the process a terminal"),
    Flag("detach,d", BOOL, "Leave it running"),
    Flag("exec-id", usage="Id of the process, which no other in the container has", required=True),
    Flag("fifo-dir", usage="Directory for the fifos of its input and output"),
    Flag("log-uri", usage="Where the shim writes the output: file:///path or binary:///program"),
    Flag("user", usage="User and group, as name|uid[:group|gid]"),
)
USAGE = "[flags] CONTAINER CMD [ARG...]"


async def run(ctx: Context) -> int:
    import gc

    from pycontainerd.commands.ctr.container import stdio
    from pycontainerd.commands.ctr.tasks.target import container_and_task

    gc.enable()
    container_id = ctx.needed(0, "container id must be provided")
    client = await ctx.client()
    container, _ = await container_and_task(client, container_id)
    process = await _process(ctx, client, container)
    _check_streams(ctx)
    exec_id = ctx.text("exec-id")
    log_uri, fifo_dir = ctx.text("log-uri"), ctx.text("fifo-dir")
    streams = stdio.choose(exec_id, terminal=process.terminal, log_uri=log_uri, fifo_dir=fifo_dir)
    try:
        return await _execute(ctx, client, container_id, process, streams)
    finally:
        if not ctx.flag("detach"):
            streams.remove()


def _check_streams(ctx: Context) -> None:
    if ctx.text("log-uri"):
        for flag in ("tty", "fifo-dir"):
            if ctx.is_set(flag):
                raise InvalidArgument(f"can't use log-uri with {flag}", bare=True)


async def _process(ctx: Context, client: Client, container: Container) -> Process:
    """The process to run: the container's own with other arguments."""
    from pycontainerd.oci import spec

    built = spec.decode(container.spec.value, name=f"spec of {container.id}")
    process = built.the_process()
    if ctx.text("user"):
        await _set_user(ctx, client, container, process, built.the_root().path)
    process.terminal = ctx.flag("tty")
    process.args = ctx.arguments[1:]
    if ctx.text("cwd"):
        process.cwd = ctx.text("cwd")
    return process


async def _set_user(ctx: Context, client: Client, container: Container, process: Process, root: str) -> None:
    from pycontainerd.commands.ctr.container import spec_steps
    from pycontainerd.oci.users import Accounts, set_user

    rootfs = spec_steps.directory(root)
    if container.snapshot_key:
        mounts = await client.snapshots(container.snapshotter).mounts(container.snapshot_key)
        rootfs = spec_steps.mounted(mounts, written=True)
    with rootfs as path:
        set_user(process, ctx.text("user"), Accounts(path))
    # Those of the container's user are not for this one; its own are not looked up, as in the original.
    process.user.additional_gids = [process.user.gid]


async def _execute(ctx: Context, client: Client, container_id: str, process: Process, streams: Stdio) -> int:
    from google.protobuf.any_pb2 import Any

    from pycontainerd.commands.ctr.container import attending, stdio, terminal
    from pycontainerd.oci import spec

    exec_id = ctx.text("exec-id")
    detached = ctx.flag("detach")
    with ExitStack() as stack:
        screen = stack.enter_context(terminal.raw_terminal()) if process.terminal and not detached else None
        await client.tasks.execute(
            container_id,
            exec_id,
            Any(type_url=spec.PROCESS_TYPE_URL, value=spec.encode(process)),
            stdin=streams.stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
            terminal=streams.terminal,
        )
        if detached:
            async with stdio.Copying(ctx.driver, streams, _nothing):
                await client.tasks.start(container_id, exec_id)
            return 0
        try:
            attended = attending.Attended(client, ctx.driver, container_id, exec_id, screen=screen)
            async with stdio.Copying(ctx.driver, streams, attended.close_stdin) as copying:
                return await attended.run(copying, lambda: client.tasks.start(container_id, exec_id))
        finally:
            await client.tasks.delete_process(container_id, exec_id)


async def _nothing() -> None:
    """What happens at the end of an input that nobody copies."""
