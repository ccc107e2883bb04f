"""Staying with a process of a container until it ends."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from pycontainerd.client.beside import Beside
from pycontainerd.commands.ctr import logs
from pycontainerd.commands.ctr.container import signals, terminal
from pycontainerd.errors import Error, NotFound

if TYPE_CHECKING:
    from pycontainerd.client.client import Client
    from pycontainerd.commands.ctr.context import Context
    from pycontainerd.rpc.blocking_driver import BlockingDriver


class Attended:
    """A process, and what we know of its end."""

    def __init__(self, client: Client, driver: BlockingDriver, container_id: str, exec_id: str) -> None:
        self._client = client
        self._driver = driver
        self._ended = driver.waiter()
        self.container_id = container_id
        self.exec_id = exec_id

    async def watch(self) -> None:
        """Waits for the end; to be begun before the process is started, so that none is missed."""
        try:
            self._ended.set((await self._client.tasks.wait(self.container_id, self.exec_id)).exit_status)
        except Error as error:
            self._ended.fail(error)

    async def exit_status(self) -> int:
        """Returns when the process has ended, with its exit status."""
        status: int = await self._ended
        return status

    async def close_stdin(self) -> None:
        """Tells the shim that no more input comes; a process that has ended needs no telling."""
        try:
            await self._client.tasks.close_stdin(self.container_id, self.exec_id)
        except Error as error:
            logs.debug("close stdin", error=error)

    async def forward(self, receiver: int) -> None:
        """Sends the process the signals that we get."""
        async for number in signals.arriving(self._driver, receiver):
            try:
                await self._client.tasks.kill(self.container_id, number, exec_id=self.exec_id)
            except NotFound:
                return
            except Error as error:
                logs.error(f"forward signal {number}", error=error)

    async def resize(self, receiver: int, screen: int) -> None:
        """Tells the process the size of the terminal, now and whenever it changes."""
        await self._resize_once(screen)
        async for _ in signals.arriving(self._driver, receiver):
            await self._resize_once(screen)

    async def _resize_once(self, screen: int) -> None:
        try:
            await self._client.tasks.resize(self.container_id, *terminal.size_of(screen), self.exec_id)
        except Error as error:
            logs.error("resize pty", error=error)


@asynccontextmanager
async def attended(ctx: Context, client: Client, container_id: str, exec_id: str = "") -> AsyncIterator[Attended]:
    """A process that is watched as long as the block lasts."""
    process = Attended(client, ctx.driver, container_id, exec_id)
    async with Beside(ctx.driver) as beside:
        beside.start(process.watch(), name="wait")
        yield process


@asynccontextmanager
async def connected_to_us(ctx: Context, process: Attended, *, screen: int | None) -> AsyncIterator[None]:
    """Signals of ours go to the process; or the size of the terminal *screen* does, if it has one."""
    with ExitStack() as stack:
        numbers = signals.FORWARDED if screen is None else {signal.SIGWINCH}
        receiver = stack.enter_context(signals.caught(numbers))
        async with Beside(ctx.driver) as beside:
            if screen is None:
                beside.start(process.forward(receiver), name="forward signals")
            else:
                beside.start(process.resize(receiver, screen), name="resize")
            yield
