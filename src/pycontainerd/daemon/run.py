"""The daemon from its settings to its end.

directories, lock on the root → process, signals → plugins → servers → ready … stop: servers, plugins in reverse
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final

from pycontainerd.clock import SystemClock
from pycontainerd.daemon import directories, process
from pycontainerd.daemon.notify import READY, STOPPING, Notifier
from pycontainerd.daemon.settings import Settings
from pycontainerd.errors import FailedPrecondition
from pycontainerd.ids import RandomIds
from pycontainerd.log import fields
from pycontainerd.plugin.graph import Graph, StartedPlugins, ordered
from pycontainerd.plugin.registration import Init, Registration
from pycontainerd.rpc.sockets import is_served
from pycontainerd.spawner.aio import Spawner
from pycontainerd.version import revision, version

_LOG: Final = logging.getLogger(__name__)

BOLT_OPEN: Final = "io.containerd.timeout.bolt.open"
LOCK_POLL_S: Final = 0.05
WAITING_S: Final = 10.0
"""Seconds after which the log says that another daemon has the root."""


def run(settings: Settings, registrations: tuple[Registration, ...]) -> None:
    """Runs the daemon until a signal stops it. Raises Error or OSError when it can't start or go on."""
    begun = time.monotonic()
    process.prepare()
    notifier = Notifier.of_environment()
    file = settings.file
    _refuse_living(settings.address)
    directories.make(file.root, file.state, file.temp)
    _LOG.info("starting containerd", extra=fields(revision=revision(), version=version()))
    process.set_oom_score(file.oom_score)
    process.join_cgroup(file.cgroup.path)
    daemon = Daemon(settings, ordered(registrations, file.disabled_plugins), notifier, begun)
    try:
        with asyncio.Runner(loop_factory=_loop) as runner:
            runner.run(daemon.main())
    except BaseExceptionGroup as group:
        raise _first(group) from group
    except asyncio.CancelledError:
        _LOG.warning("stopped before the start was over")


def _loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _refuse_living(address: str) -> None:
    """Raises FailedPrecondition before anything is touched if a daemon serves *address*."""
    if os.path.exists(address) and is_served(address):
        raise FailedPrecondition(f"{address} is served by a living daemon", bare=True)


class Daemon:
    """One run of the daemon, inside of its loop."""

    def __init__(self, settings: Settings, order: tuple[Registration, ...], notifier: Notifier, begun: float) -> None:
        self._settings = settings
        self._order = order
        self._notifier = notifier
        self._begun = begun
        self._stopping = asyncio.Event()
        self._clock = SystemClock()
        self._ids = RandomIds()
        self._background: asyncio.TaskGroup
        self._spawner: Spawner
        self._starting: asyncio.Task[Any] | None = None

    async def main(self) -> None:
        """Starts, waits for the signal, stops."""
        self._starting = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGUSR1, self._dump_stacks)
        async with asyncio.TaskGroup() as self._background:
            lock = directories.RootLock(self._settings.file.root)
            try:
                if await self._take(lock):
                    directories.empty_tmpmounts(self._settings.file.root)
                    await self._run()
            finally:
                lock.close()

    async def _take(self, lock: directories.RootLock) -> bool:
        """Waits for the root as stock waits for its database. False if the daemon was told to stop meanwhile."""
        limit = self._settings.timeouts.get(BOLT_OPEN, 0.0)
        begun, told = time.monotonic(), False
        while not lock.take_nowait():
            waited = time.monotonic() - begun
            if limit and waited > limit:
                raise FailedPrecondition(f"{self._settings.root}: another daemon has this root", bare=True)
            if waited > WAITING_S and not told:
                told = True
                _LOG.warning("waiting for the root, which another daemon has", extra=fields(root=self._settings.root))
            try:
                async with asyncio.timeout(LOCK_POLL_S):
                    await self._stopping.wait()
            except TimeoutError:
                continue
            return False
        return True

    async def _run(self) -> None:
        async with (
            Spawner(self._settings.socket_dir) as self._spawner,
            Graph(self._order, self._init, self._settings.file.required_plugins) as graph,
        ):
            await graph.start()
            if self._stopping.is_set():
                return
            await graph.serve()
            await graph.wait_ready()
            self._starting = None
            self._notifier.tell(READY)
            _LOG.info("containerd successfully booted in %fs", time.monotonic() - self._begun)
            gc.freeze()
            gc.enable()
            await self._stopping.wait()

    def _init(self, registration: Registration, plugins: StartedPlugins, stack: AsyncExitStack) -> Init:
        settings = self._settings

        def spawn(coroutine: Coroutine[Any, Any, Any], *, name: str) -> None:
            task = self._background.create_task(coroutine, name=name)

            async def cancel() -> None:
                task.cancel()
                await asyncio.wait([task])

            stack.push_async_callback(cancel)

        return Init(
            uri=registration.uri,
            root=settings.root / registration.uri,
            state=settings.state / registration.uri,
            address=settings.address,
            ttrpc_address=settings.ttrpc_address,
            config=settings.section(registration),
            plugins=plugins,
            stack=stack,
            spawn=spawn,
            clock=self._clock,
            ids=self._ids,
            timeouts=settings.timeouts,
            stream_processors=settings.stream_processors,
            spawner=self._spawner,
        )

    def _stop(self, number: int) -> None:
        _LOG.debug("received signal", extra=fields(signal=signal.Signals(number).name))
        if not self._stopping.is_set():
            self._notifier.tell(STOPPING)
            self._stopping.set()
        elif self._starting is not None:
            # Told twice while it starts: something there takes too long.
            self._starting.cancel()

    def _dump_stacks(self) -> None:
        from pycontainerd.daemon.stacks import dump

        dump(asyncio.get_running_loop())
