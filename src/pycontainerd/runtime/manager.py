"""Shims from their start to their end: started, watched, taken away, and cleaned up after when they die.

A connection that ends although nobody has ended it means that the shim died, and with it whatever watched over the
container. What is left is removed by the shim's own `delete`, clients hear of the exit and the deletion, and the task
is gone (runtime-shim.md §4). Since that kills a container that still runs, the shim is asked once more before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Final, Self, TypeVar

from msgspec import Struct

from pycontainerd import faults
from pycontainerd.api.containerd import events_pb2
from pycontainerd.clock import Clock
from pycontainerd.errors import DeadlineExceeded, Error, Unimplemented, Unknown
from pycontainerd.events.exchange import Exchange
from pycontainerd.events.once import DELETE, EXIT
from pycontainerd.log import fields
from pycontainerd.runtime import executable, joining
from pycontainerd.runtime.background import Spawn
from pycontainerd.runtime.bootstrap import Bootstrap
from pycontainerd.runtime.bundle import Bundle
from pycontainerd.runtime.connection import ShimConnection, connect, may_live, socket_path
from pycontainerd.runtime.discovery import Discovery, ShimBinary
from pycontainerd.runtime.executable import Surroundings
from pycontainerd.runtime.failures import Failures
from pycontainerd.runtime.leftover_sockets import remove_if_dead
from pycontainerd.runtime.logcopy import LogCopy
from pycontainerd.runtime.model import Exit, Payload
from pycontainerd.runtime.registry import Registry
from pycontainerd.runtime.shim import Shim
from pycontainerd.runtime.spawned import OurShims
from pycontainerd.runtime.spec import SpecView, view
from pycontainerd.runtime.task_api import TaskApi
from pycontainerd.runtime.told import recorded
from pycontainerd.shim import steps

T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)

UNKNOWN_EXIT: Final = 255
"""The status of a container of which nobody can tell how it ended."""

RETRY_S: Final = 1.0
"""How long to wait before a shim that has no time is dialled again."""

faults.declare("runtime.shim.started", "runtime.bootstrap.written", "runtime.shim.gone")


class Timeouts(Struct, frozen=True):
    """How long shims may take, in seconds; 0 means no limit. See the section `timeouts` of the configuration."""

    cleanup_s: float = 5
    load_s: float = 5
    shutdown_s: float = 3
    state_s: float = 2
    stats_s: float = 2

    @classmethod
    def of(cls, timeouts: Mapping[str, float]) -> Self:
        """The configured ones; what is not configured stays as it is."""
        names = {
            "cleanup_s": "shim.cleanup",
            "load_s": "shim.load",
            "shutdown_s": "shim.shutdown",
            "state_s": "task.state",
            "stats_s": "metrics.shimstats",
        }
        given = {field: timeouts.get(f"io.containerd.timeout.{name}") for field, name in names.items()}
        return cls(**{field: value for field, value in given.items() if value is not None})


class ShimManager:
    """All shims of a daemon. Belongs to one event loop."""

    def __init__(
        self,
        about: Surroundings,
        *,
        discovery: Discovery,
        ours: OurShims,
        exchange: Exchange,
        spawn: Spawn,
        clock: Clock,
        timeouts: Timeouts,
        failures: Failures,
    ) -> None:
        self.shims = Registry()
        self.discovery = discovery
        self.about = about
        self.timeouts = timeouts
        self.failures = failures
        self._ours = ours
        self._exchange = exchange
        self._spawn = spawn
        self._clock = clock
        self._stopping = False

    async def close(self) -> None:
        """Lets go of all shims: they and their containers live on."""
        self._stopping = True
        for shim in self.shims:
            shim.gone = True
            await shim.connection.close()
            shim.log.close()

    async def start(
        self, bundle: Bundle, binary: ShimBinary, spec: bytes, seen: SpecView, options: Payload | None
    ) -> Shim:
        """Makes *bundle* and a shim that serves it; whatever was made is gone again if that fails.

        Raises Unknown with what the shim said. The caller has reserved the id, and registers the shim.
        """

        async def served(log: LogCopy) -> Shim:
            bootstrap = await self._process(bundle, binary, spec, seen, options)
            return await self._connected(bundle, binary, bootstrap, log)

        return await self._made(bundle, served)

    async def join(self, bundle: Bundle, sandbox: str, bootstrap: Bootstrap, spec: bytes, seen: SpecView) -> Shim:
        """Makes *bundle* for a task that the shim of *sandbox* serves at *bootstrap*; see `start`.

        Raises Unknown, Unimplemented if there is no such shim.
        """

        async def served(log: LogCopy) -> Shim:
            await asyncio.to_thread(bundle.fill, spec, seen.root_gid())
            bundle.write_sandbox(sandbox)
            bundle.write_bootstrap(bootstrap)
            return Shim(bundle, None, bootstrap, await joining.dial(bootstrap, sandbox, bundle.id), log)

        return await self._made(bundle, served)

    async def _made(self, bundle: Bundle, served: Callable[[LogCopy], Coroutine[Any, Any, Shim]]) -> Shim:
        """*bundle* with the shim that *served* gets for it; gone again if that fails."""
        bundle.make()
        try:
            log = LogCopy(bundle.open_log())
            try:
                shim = await served(log)
            except BaseException:
                log.close()
                raise
        except BaseException:
            await self.undo(asyncio.to_thread(self._clear, bundle), f"remove bundle {bundle.id}")
            raise
        return shim

    def guess(self, bundle: Bundle) -> Bootstrap:
        """Where a shim for runc, ours or stock's, serves a bundle that does not tell it, if one was started."""
        try:
            group = view(bundle.read_spec()).group()
        except Unknown:
            group = None
        return self._ours.bootstrap(bundle.namespace, group or bundle.id)

    def keep(self, shim: Shim) -> None:
        """Registers *shim* and watches over it from now on."""
        self.shims.add(shim)
        self._spawn(self._watch(shim), name=f"shim {shim.namespace}/{shim.id}")

    async def remove(self, shim: Shim, *, force: bool) -> None:
        """Takes away a shim whose task was deleted, and its bundle, and forgets it.

        With *force* a container that may be left is removed by the shim's `delete`. That is also done for every shim
        that is not ours: some of them have more to clean up than what Delete and Shutdown do. The shim of a sandbox
        that the task has joined stays.
        """
        shim.gone = True
        if shim.binary is not None:
            await self.shut_down(shim)
        await shim.connection.close()
        if shim.binary is not None and (force or not shim.binary.ours):
            await self._delete_by_binary(shim.bundle, shim.binary)
        shim.log.close()
        self._remove_sockets(shim.bundle, shim.bootstrap)
        faults.reach("runtime.shim.gone")
        await asyncio.to_thread(self._clear, shim.bundle)
        self.shims.remove(shim)

    async def shut_down(self, shim: Shim) -> None:
        """Asks the process to end, which it does unless containers are left in it."""
        try:
            await shim.api.shutdown(shim.id, timeout_s=self.timeouts.shutdown_s)
        except Error as error:
            # A shim that is on its way out may close the connection before it answers.
            _LOG.debug("shutdown of shim", extra=fields(id=shim.id, namespace=shim.namespace, error=error))

    async def end_sandbox(self, shim: Shim) -> None:
        """Takes away the shim of a sandbox that was shut down, and its bundle, and forgets it.

        Its end is told like that of a task, as in the original.
        """
        shim.gone = True
        await shim.connection.close()
        exit_ = await self._delete_by_binary(shim.bundle, shim.binary) if shim.binary is not None else None
        shim.log.close()
        await asyncio.to_thread(self._clear, shim.bundle)
        self.tell_gone(shim.namespace, shim.id, exit_ or self._unknown_exit())
        self.shims.remove(shim)

    async def load(self, bundle: Bundle, binary: ShimBinary | None, bootstrap: Bootstrap) -> Shim:
        """Connects to the shim that an earlier daemon has started for *bundle*, and which may be slow to answer.

        Raises what connecting or the shim's first answer raise; nothing is changed then.
        """
        log = LogCopy(bundle.open_log())
        try:
            connection = await connect(bootstrap, timeout_s=self.timeouts.load_s)
            shim = Shim(bundle, binary, bootstrap, connection, log)
            try:
                await shim.api.connect(bundle.id, timeout_s=self.timeouts.load_s)
            except DeadlineExceeded:
                _tell_slow(shim)
            except BaseException:
                await connection.close()
                raise
        except BaseException:
            log.close()
            raise
        return shim

    async def end_of(self, shim: Shim, exec_id: str) -> Exit:
        """How a process of *shim* ends, when it has."""
        return await shim.waits.end(exec_id, lambda: shim.api.wait(shim.id, exec_id), self._spawn)

    async def end_of_sandbox(self, shim: Shim, ask: Callable[[], Awaitable[Exit]]) -> Exit:
        """How the sandbox that *shim* is ends, when it has; *ask* is how to ask it."""
        return await shim.waits.end(None, ask, self._spawn)

    async def clean_up(self, bundle: Bundle, binary: ShimBinary | None) -> Exit:
        """Removes what a dead shim has left: how its task ended, as far as anyone knows."""
        steps.note(bundle.path, "shim lost", error="its connection has ended, and it can't be dialled", by=steps.DAEMON)
        exit_ = await self._delete_by_binary(bundle, binary) if binary is not None else recorded(bundle)
        self._remove_sockets(bundle, _noted(bundle) or self.guess(bundle))
        await asyncio.to_thread(self._clear, bundle)
        return exit_ or self._unknown_exit()

    def tell_exit(self, namespace: str, container: str, id_: str, exit_: Exit) -> None:
        """Publishes the exit of a process, unless it was told already."""
        event = events_pb2.TaskExit(container_id=container, id=id_, pid=exit_.pid, exit_status=exit_.status)
        event.exited_at.seconds, event.exited_at.nanos = divmod(exit_.exited_at_ns, 1_000_000_000)
        self._exchange.publish_once(namespace, EXIT, event)

    def tell_deleted(self, namespace: str, id_: str, exit_: Exit) -> None:
        """Publishes that a task was deleted, unless it was told already."""
        event = events_pb2.TaskDelete(container_id=id_, pid=exit_.pid, exit_status=exit_.status)
        event.exited_at.seconds, event.exited_at.nanos = divmod(exit_.exited_at_ns, 1_000_000_000)
        self._exchange.publish_once(namespace, DELETE, event)

    def tell_gone(self, namespace: str, id_: str, exit_: Exit) -> None:
        """Publishes how a task that nobody has deleted ended, and that it is gone."""
        self.tell_exit(namespace, id_, id_, exit_)
        self.tell_deleted(namespace, id_, exit_)

    async def finish(
        self,
        work: Coroutine[Any, Any, T],
        name: str,
        *,
        unwanted: Callable[[T], Coroutine[Any, Any, object]] | None = None,
    ) -> T:
        """Runs *work* to its end even if the caller is cancelled: half a deletion is worse than a whole one.

        A result that nobody waits for any more goes to *unwanted*.
        """
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        async def body() -> None:
            try:
                result = await work
                if done.cancelled() and unwanted is not None:
                    await unwanted(result)
            except Exception as error:  # noqa: BLE001 - it is the caller's, who may be gone
                if done.cancelled():
                    _LOG.warning("failed to %s", name, extra=fields(error=error))
                else:
                    done.set_exception(error)
            else:
                if not done.cancelled():
                    done.set_result(result)

        self._spawn(body(), name=name, result=done)
        return await done

    def beside(self, work: Coroutine[Any, Any, object], name: str) -> None:
        """Runs *work* beside the caller; that it fails is logged."""
        self._spawn(_logged(work, name), name=name)

    async def undo(self, work: Coroutine[Any, Any, object], name: str) -> None:
        """Like `finish`, for what takes back something that failed: the first failure is what the caller must hear."""
        await self.finish(_logged(work, name), name)

    async def _process(
        self, bundle: Bundle, binary: ShimBinary, spec: bytes, seen: SpecView, options: Payload | None
    ) -> Bootstrap:
        """A process that serves *bundle*, which is filled meanwhile if the shim is ours."""
        if not binary.ours:
            await asyncio.to_thread(self._fill, bundle, binary, spec, seen)
            bootstrap = await executable.start(self.about, binary, bundle, options)
        else:
            filling = asyncio.to_thread(self._fill, bundle, binary, spec, seen)
            bootstrap = await _both(self._ours.start(bundle, seen.group(), options), filling)
        faults.reach("runtime.shim.started")
        bundle.write_bootstrap(bootstrap)
        faults.reach("runtime.bootstrap.written")
        return bootstrap

    def _fill(self, bundle: Bundle, binary: ShimBinary, spec: bytes, seen: SpecView) -> None:
        bundle.fill(spec, seen.root_gid())
        bundle.write_binary_path(binary.path)

    async def _connected(self, bundle: Bundle, binary: ShimBinary, bootstrap: Bootstrap, log: LogCopy) -> Shim:
        try:
            connection = await connect(bootstrap)
        except BaseException as error:
            await self.undo(self._delete_by_binary(bundle, binary), f"end shim {bundle.id}")
            if isinstance(error, Error):
                raise error.within("start failed") from None
            raise
        return Shim(bundle, binary, bootstrap, connection, log)

    async def _watch(self, shim: Shim) -> None:
        try:
            await self._watch_until_gone(shim)
        except Exception as error:  # noqa: BLE001 - one shim must not end the daemon, whose task group we are in
            _LOG.exception("failed to watch shim", extra=fields(id=shim.id, namespace=shim.namespace, error=error))

    async def _watch_until_gone(self, shim: Shim) -> None:
        """Waits for the end of the connection, and cleans up if nobody has asked for it."""
        while True:
            await shim.connection.wait_closed()
            if shim.gone or self._stopping:
                return
            if not await self._connect_again(shim):
                break
        if self._stopping:
            return  # it stopped while we asked: the next daemon finds out
        _LOG.info("cleaning up after shim disconnected", extra=fields(id=shim.id, namespace=shim.namespace))
        async with shim.removing:
            if self.shims.holds(shim):
                await self._bury(shim)

    async def _bury(self, shim: Shim) -> None:
        shim.gone = True
        shim.log.close()
        try:
            exit_ = await self.clean_up(shim.bundle, shim.binary)
        except OSError as error:
            _LOG.warning("failed to clean up after shim disconnected", extra=fields(id=shim.id, error=error))
            exit_ = self._unknown_exit()
        self.tell_gone(shim.namespace, shim.id, exit_)
        self.shims.remove(shim)

    async def _connect_again(self, shim: Shim) -> bool:
        """Whether the shim lives and only its connection was lost; it has a new one then."""
        connection = await self._dialled_again(shim)
        if connection is None:
            return False
        api = TaskApi(connection, shim.bootstrap, shim.namespace)
        try:
            await api.connect(shim.id, timeout_s=self.timeouts.load_s)
        except DeadlineExceeded:
            _tell_slow(shim)
        except Error:
            await connection.close()
            return False
        _LOG.warning("connected to shim again", extra=fields(id=shim.id, namespace=shim.namespace))
        shim.connection, shim.api = connection, api
        return True

    async def _dialled_again(self, shim: Shim) -> ShimConnection | None:
        """A new connection to the shim, None if it is gone or nobody needs one any more."""
        while not (shim.gone or self._stopping):
            try:
                return await connect(shim.bootstrap, timeout_s=self.timeouts.load_s)
            except Error as error:
                if not may_live(error):
                    return None
            _tell_slow(shim)
            await asyncio.sleep(RETRY_S)
        return None

    def _unknown_exit(self) -> Exit:
        return Exit(0, UNKNOWN_EXIT, self._clock.now_ns())

    def _clear(self, bundle: Bundle) -> None:
        """Removes a bundle; if something of it has failed, what was tried is kept elsewhere."""
        self.failures.keep(bundle)
        bundle.delete()

    def _remove_sockets(self, bundle: Bundle, bootstrap: Bootstrap) -> None:
        """Removes the names of a dead shim's sockets: the one where it served, and the one for debugging."""
        debug = self._ours.socket_path(bundle.namespace, f"{bundle.id}/debug")
        try:
            for path in (socket_path(bootstrap), debug):
                if path.startswith("/"):
                    remove_if_dead(path)
        except Unimplemented:
            return  # it was no file
        except OSError as error:
            about = fields(id=bundle.id, namespace=bundle.namespace, error=error)
            _LOG.warning("failed to remove the socket of a shim", extra=about)

    async def _delete_by_binary(self, bundle: Bundle, binary: ShimBinary) -> Exit | None:
        """The exit that the shim's `delete` tells; None, and a line in the log, if it fails."""
        about = {"id": bundle.id, "namespace": bundle.namespace}
        try:
            with steps.step(bundle.path, "shim delete", by=steps.DAEMON) as step:
                exit_, warnings = await executable.delete(self.about, binary, bundle, timeout_s=self.timeouts.cleanup_s)
                step.result = f"status {exit_.status}"
        except (Unknown, TimeoutError) as error:
            _LOG.warning("failed to clean up after shim", extra=fields(error=error, **about))
            return None
        if warnings:
            text = warnings[:4096].decode(errors="replace")
            _LOG.debug("warnings while cleaning up after shim", extra=fields(warnings=text, **about))
        return exit_


async def _logged(work: Coroutine[Any, Any, object], name: str) -> None:
    try:
        await work
    except (Error, OSError) as error:
        _LOG.warning("failed to %s", name, extra=fields(error=error))


def _noted(bundle: Bundle) -> Bootstrap | None:
    """Where the shim of *bundle* served, if that can be read."""
    try:
        return bundle.read_bootstrap()
    except Error:
        return None


def _tell_slow(shim: Shim) -> None:
    _LOG.warning("shim is slow to answer", extra=fields(id=shim.id, namespace=shim.namespace))


async def _both(first: Coroutine[Any, Any, Bootstrap], second: Coroutine[Any, Any, None]) -> Bootstrap:
    """Runs both at the same time: the result of *first*. The first failure is raised, alone, when both have ended."""
    try:
        async with asyncio.TaskGroup() as tasks:
            result = tasks.create_task(first, name="start shim")
            tasks.create_task(second, name="fill bundle")
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    return result.result()
