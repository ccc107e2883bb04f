"""Staying with a process of a container until it ends."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from pycontainerd.client.beside import Beside
from pycontainerd.commands.ctr import logs
from pycontainerd.commands.ctr.container import signals, terminal
from pycontainerd.errors import Error, NotFound

if TYPE_CHECKING:
    from pycontainerd.client.client import Client
    from pycontainerd.commands.ctr.container.stdio import Copying
    from pycontainerd.rpc.blocking_driver import BlockingDriver


class Attended:
    """A process that we stay with: its end, its signals, the size of its terminal.

    *screen* is the terminal of ours that it has, None for none.
    """

    def __init__(
        self, client: Client, driver: BlockingDriver, container_id: str, exec_id: str = "", *, screen: int | None = None
    ) -> None:
        self._client = client
        self._driver = driver
        self._screen = screen
        self._ended = driver.waiter()
        self.container_id = container_id
        self.exec_id = exec_id

    async def close_stdin(self) -> None:
        """Tells the shim that no more input comes; a process that has ended needs no telling."""
        try:
            await self._client.tasks.close_stdin(self.container_id, self.exec_id)
        except Error as error:
            logs.debug("close stdin", error=error)

    async def run(self, copying: Copying, start: Callable[[], Awaitable[object]] | None = None) -> int:
        """Calls *start*, stays with the process until it has ended, and returns its exit status.

        From before the start on our signals are the process's, and its end is waited for; none is missed.
        """
        numbers = signals.FORWARDED if self._screen is None else {signal.SIGWINCH}
        with signals.caught(numbers) as receiver:
            async with Beside(self._driver) as beside:
                beside.start(self._watch(), name="wait")
                if start is not None:
                    await start()
                copying.start()
                beside.start(self._attend(receiver), name="attend")
                status: int = await self._ended
            await copying.drain()
        return status

    async def resize(self) -> None:
        """Tells the process the size of our terminal, if it has one."""
        if self._screen is None:
            return
        try:
            await self._client.tasks.resize(self.container_id, *terminal.size_of(self._screen), self.exec_id)
        except Error as error:
            logs.error("resize pty", error=error)

    async def _watch(self) -> None:
        try:
            self._ended.set((await self._client.tasks.wait(self.container_id, self.exec_id)).exit_status)
        except Error as error:
            self._ended.fail(error)

    async def _attend(self, receiver: int) -> None:
        await self.resize()
        async for number in signals.arriving(self._driver, receiver):
            if self._screen is not None:
                await self.resize()
            elif not await self._forward(number):
                return

    async def _forward(self, number: int) -> bool:
        """Sends the process a signal; False if it is gone."""
        try:
            await self._client.tasks.kill(self.container_id, number, exec_id=self.exec_id)
        except NotFound:
            return False
        except Error as error:
            logs.error(f"forward signal {number}", error=error)
        return True
