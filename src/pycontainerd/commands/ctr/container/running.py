"""From a container's record to a task that runs, and to its exit code."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING

from pycontainerd.api.containerd.runc.v1_pb2 import Options as RuncOptions
from pycontainerd.client.streams import pack
from pycontainerd.commands.ctr.container import attending, stdio, terminal
from pycontainerd.commands.ctr.container.flags import RUNC
from pycontainerd.commands.ctr.container.spec_steps import parse_id_mappings
from pycontainerd.errors import Error, NotFound

if TYPE_CHECKING:
    from google.protobuf.any_pb2 import Any

    from pycontainerd.api.containerd.services.containers.v1_pb2 import Container
    from pycontainerd.api.containerd.types_pb2 import Descriptor, Mount
    from pycontainerd.client.client import Client
    from pycontainerd.commands.ctr.context import Context


async def run_task(
    ctx: Context,
    client: Client,
    container: Container,
    *,
    terminal_wanted: bool,
    rootfs: Iterable[Mount],
    detached: bool,
    checkpoint: Descriptor | None = None,
) -> int:
    """Runs the task of *container*, from *checkpoint* if there is one, as the flags that the command has say.

    Returns its exit code, 0 if it is left alone.
    """
    gc.enable()
    async with AsyncExitStack() as stack:
        screen = stack.enter_context(terminal.raw_terminal()) if terminal_wanted and not detached else None
        streams = stdio.choose(
            container.id,
            terminal=terminal_wanted,
            null_io=ctx.has("null-io") and ctx.flag("null-io"),
            log_uri=_text(ctx, "log-uri"),
            fifo_dir=_text(ctx, "fifo-dir"),
        )
        task = _Task(ctx, client, container, streams, screen)
        try:
            # Open in any case: a shim waits for a reader of its fifos before it creates the task.
            async with stdio.Copying(ctx.driver, streams, task.process.close_stdin) as copying:
                await task.create(rootfs, checkpoint)
                if detached:
                    await task.start()
                    return 0
                return await task.attend(copying)
        except BaseException:
            streams.remove()
            raise


class _Task:
    def __init__(
        self, ctx: Context, client: Client, container: Container, streams: stdio.Stdio, screen: int | None
    ) -> None:
        self._ctx = ctx
        self._client = client
        self._container = container
        self._streams = streams
        self.process = attending.Attended(client, ctx.driver, container.id, screen=screen)

    async def create(self, rootfs: Iterable[Mount], checkpoint: Descriptor | None) -> None:
        pid = await self._client.tasks.create(
            self._container.id,
            rootfs=rootfs,
            stdin=self._streams.stdin,
            stdout=self._streams.stdout,
            stderr=self._streams.stderr,
            terminal=self._streams.terminal,
            options=_task_options(self._ctx, self._container),
            checkpoint=checkpoint,
        )
        if _text(self._ctx, "pid-file"):
            try:
                write_pid_file(_text(self._ctx, "pid-file"), pid)
            except OSError:
                await self._kill()
                raise

    async def start(self) -> None:
        # Before the start, so that the process never sees another size.
        await self.process.resize()
        await self._client.tasks.start(self._container.id)

    async def attend(self, copying: stdio.Copying) -> int:
        """Starts the task, stays until its end, and removes it. Returns its exit code."""
        try:
            await self.process.run(copying, self.start)
            return (await self._client.tasks.delete(self._container.id)).exit_status
        except BaseException:
            with suppress(Error):
                await self._kill()
            raise
        finally:
            self._streams.remove()

    async def _kill(self) -> None:
        with suppress(NotFound):
            await self._client.tasks.kill(self._container.id, signal.SIGKILL, everyone=True)
            await self._client.tasks.wait(self._container.id)
        await self._client.tasks.delete(self._container.id)


def _text(ctx: Context, name: str) -> str:
    """The value of a flag that not every command has."""
    return ctx.text(name) if ctx.has(name) else ""


def _task_options(ctx: Context, container: Container) -> Any | None:
    """Options of the runtime that hold for the task only; None if there are none."""
    no_pivot = ctx.has("no-pivot") and ctx.flag("no-pivot")
    mapped = ctx.has("uidmap") and ctx.texts("uidmap") and ctx.texts("gidmap")
    if container.runtime.name != RUNC or not (no_pivot or mapped):
        return None
    options = RuncOptions.FromString(container.runtime.options.value)
    options.no_pivot_root = no_pivot
    if mapped:
        options.io_uid = parse_id_mappings(ctx.texts("uidmap"))[0].host_id
        options.io_gid = parse_id_mappings(ctx.texts("gidmap"))[0].host_id
    return pack(options)


def write_pid_file(path: str, pid: int) -> None:
    """Writes *pid* in decimal to *path*, which has it whole or not at all. Raises OSError."""
    directory, name = os.path.split(os.path.abspath(path))
    draft = os.path.join(directory, f".{name}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_SYNC | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(b"%d" % pid)
        os.rename(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
