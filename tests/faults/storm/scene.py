"""The daemon in a storm, and what all who take part in it know."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pycontainerd import faults
from pycontainerd.client.client import Client
from pycontainerd.client.session import Session
from pycontainerd.rpc.asyncio_driver import AsyncioDriver
from pycontainerd.rpc.grpc.client import GrpcClient
from tests.harness.daemon import OURS, Daemon

BACK_S: Final = 120
"""How long a daemon may take to be there again, on whatever machine."""


@dataclass
class Scene:
    """A daemon that is killed and started again, its directories, and who was killed."""

    daemon: Daemon
    hit: set[str] = field(default_factory=set)
    """The containers whose shim was killed."""
    killed: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    ended: bool = False
    """All clients are done."""
    serving: asyncio.Event = field(default_factory=asyncio.Event)
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _called: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    @asynccontextmanager
    async def begin(cls, base: Path) -> AsyncIterator[Scene]:
        """A scene in *base*, which all that a storm makes lies below. Nothing of it is left at the end."""
        daemon = Daemon(OURS, base, OURS)
        scene = cls(daemon)
        for directory in (scene.points, scene.fifos, scene.temporary):
            directory.mkdir(parents=True)
        daemon.environment = {faults.VARIABLE: f"{scene.points}:stop", "TMPDIR": str(scene.temporary)}
        await scene.start()
        try:
            yield scene
        finally:
            scene.release()
            await asyncio.to_thread(daemon.clear)

    def release(self) -> None:
        """Kills who has stopped at a point, and lets nobody stop any more."""
        for file in self.points.iterdir():
            file.unlink()
            if "@" in file.name:
                with suppress(ProcessLookupError):
                    os.kill(int(file.name.rpartition("@")[2]), signal.SIGKILL)

    @property
    def points(self) -> Path:
        """Where a file stands for each point at which the next process shall stop."""
        return self.daemon.base / "points"

    @property
    def fifos(self) -> Path:
        return self.daemon.base / "fifo"

    @property
    def runc_root(self) -> Path:
        return self.daemon.base / "runc"

    @property
    def temporary(self) -> Path:
        return self.daemon.base / "tmp"

    @property
    def namespace(self) -> str:
        return self.daemon.namespace

    async def start(self) -> None:
        """Starts the daemon, again if it is killed on its way."""
        async with self._starting:
            while self._process is None or self._process.poll() is not None:
                try:
                    await asyncio.to_thread(self.daemon.up)
                except AssertionError:
                    if self._process is None or self._process.poll() != -signal.SIGKILL:
                        raise
            self.serving.set()

    async def kill_daemon(self) -> None:
        """kill -9, and a new one."""
        self.serving.clear()
        process = self._process
        assert process is not None
        process.kill()
        await asyncio.to_thread(process.wait)
        await self.start()

    @property
    def _process(self) -> subprocess.Popen[bytes] | None:
        return self.daemon.process

    async def connect(self) -> Client:
        """A client with a connection of its own to the daemon that serves, or will. Raises OSError if it is gone."""
        try:
            async with asyncio.timeout(BACK_S):
                await self.serving.wait()
        except TimeoutError:
            raise AssertionError(f"the daemon did not come back:\n{self.daemon.tail()}") from None
        driver = AsyncioDriver()
        connection = GrpcClient(driver)
        await driver.connect_unix(str(self.daemon.address), connection)
        return Client(Session(connection, driver, self.namespace))

    def answered(self) -> None:
        """A call of a client had its answer."""
        self.calls += 1
        self._wake()

    def end(self) -> None:
        self.ended = True
        self._wake()

    async def until_called(self, calls: int) -> None:
        """Returns when that many calls were answered, or all clients are done."""
        while self.calls < calls and not self.ended:
            await self._called.wait()

    def _wake(self) -> None:
        called, self._called = self._called, asyncio.Event()
        called.set()
