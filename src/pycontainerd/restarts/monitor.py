"""Looks at intervals whether tasks are where their containers want them, and brings them there.

The end of a task is looked at sooner: a moment after it, so that whoever has killed the task to delete it can do so. No
task is started anew more often than once in an interval, as in the original, however quickly it ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

import msgspec

from pycontainerd.clock import Clock
from pycontainerd.containers.model import Container
from pycontainerd.errors import Error, NotFound, ResourceExhausted, Unknown
from pycontainerd.events.model import Envelope
from pycontainerd.log import fields
from pycontainerd.mounts.model import Mount
from pycontainerd.namespaces.model import Namespace
from pycontainerd.restarts import policy
from pycontainerd.runtime.model import Exit, RootfsMount, State, Status, Stdio
from pycontainerd.tasks.model import ContainerView, NewTask

_LOG: Final = logging.getLogger(__name__)

GRACE_S: Final = 1.0
SIGKILL: Final = 9
_LABELLED: Final = f'labels."{policy.STATUS}"'
_SKIPPED: Final = (Status.PAUSED, Status.PAUSING)

Key = tuple[str, str]
"""Namespace and id of a container."""


class _Process(msgspec.Struct, frozen=True):
    terminal: bool = False


class _Spec(msgspec.Struct, frozen=True):
    process: _Process = _Process()


_decoder: Final = msgspec.json.Decoder(_Spec)


class Namespaces(Protocol):
    async def list(self) -> list[Namespace]: ...


class Containers(Protocol):
    """The records of containers."""

    def get(self, namespace: str, container_id: str, /) -> Container: ...

    async def list(self, namespace: str, filters_: Sequence[str], /) -> Sequence[Container]: ...

    async def update(self, namespace: str, sent: Container, paths: Sequence[str], /) -> Container: ...


class Snapshots(Protocol):
    """The snapshots of one snapshotter."""

    async def mounts(self, namespace: str, key: str, /) -> Sequence[Mount]: ...


class Tasks(Protocol):
    """The tasks of containers."""

    recovered: asyncio.Event

    async def container(self, namespace: str, id_: str, /) -> ContainerView: ...

    async def state(self, namespace: str, id_: str, exec_id: str, /) -> State: ...

    async def create(self, namespace: str, container: ContainerView, task: NewTask, /) -> int: ...

    async def start(self, namespace: str, id_: str, exec_id: str, /) -> int: ...

    async def kill(self, namespace: str, id_: str, exec_id: str, signal: int, /, *, all_: bool) -> None: ...

    async def wait(self, namespace: str, id_: str, exec_id: str, /) -> Exit: ...

    async def delete(self, namespace: str, id_: str, /) -> Exit: ...


class Events(Protocol):
    def subscribe(self, filters: Sequence[str], /) -> AbstractAsyncContextManager[AsyncIterator[Envelope]]: ...


class Monitor:
    """The monitor of a daemon; *interval_s* are seconds."""

    def __init__(
        self,
        namespaces: Namespaces,
        containers: Containers,
        snapshotters: Mapping[str, Snapshots],
        tasks: Tasks,
        *,
        events: Events,
        clock: Clock,
        interval_s: float,
        grace_s: float = GRACE_S,
    ) -> None:
        self._namespaces = namespaces
        self._containers = containers
        self._snapshotters = snapshotters
        self._tasks = tasks
        self._events = events
        self._clock = clock
        self._interval_s = interval_s
        self._grace_s = min(grace_s, interval_s)
        self._pending: set[Key] = set()
        """What is looked at, or will be."""
        self._started: dict[Key, float] = {}
        """When the monitor has last started a task, by the monotonic clock."""

    async def run(self) -> None:
        """Watches until it is cancelled."""
        await self._tasks.recovered.wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(group), name="restarts: exits")
            while True:
                try:
                    await self._look_at_all(group)
                except Exception as error:  # noqa: BLE001 - as in _settled
                    _LOG.error("monitor for changes", extra=fields(error=error))
                await asyncio.sleep(self._interval_s)

    async def _listen(self, group: asyncio.TaskGroup) -> None:
        """Looks at the container of every task that ends."""
        while True:
            try:
                async with self._events.subscribe(['topic=="/tasks/exit"']) as envelopes:
                    async for envelope in envelopes:
                        self._noticed(group, envelope)
            except ResourceExhausted:  # what was missed is found at the next interval
                continue

    def _noticed(self, group: asyncio.TaskGroup, envelope: Envelope) -> None:
        event: Any = envelope.event
        if event is None or event.id != event.container_id:
            return  # an exec
        key = envelope.namespace, event.container_id
        try:
            labelled = policy.STATUS in self._containers.get(*key).labels
        except NotFound:
            return
        except Exception as error:  # noqa: BLE001 - as in _settled; it is looked at again at the next interval
            _LOG.error("look at exit", extra=fields(namespace=key[0], id=key[1], error=error))
            return
        if labelled:
            self._look_later(group, key, self._grace_s)

    async def _look_at_all(self, group: asyncio.TaskGroup) -> None:
        found: set[Key] = set()
        for namespace in await self._namespaces.list():
            labelled = await self._containers.list(namespace.name, [_LABELLED])
            found |= {(namespace.name, container.id) for container in labelled}
        self._started = {key: when for key, when in self._started.items() if key in found}
        for key in found:
            self._look_later(group, key, 0)

    def _look_later(self, group: asyncio.TaskGroup, key: Key, delay_s: float) -> None:
        """Looks at a container after *delay_s*, and not within the interval in which its task was started."""
        if key in self._pending:
            return
        self._pending.add(key)
        ready = self._started.get(key, -self._interval_s) + self._interval_s
        delay_s = max(delay_s, ready - self._clock.monotonic())
        group.create_task(self._settled(key, delay_s), name=f"restarts: {key[0]}/{key[1]}")

    async def _settled(self, key: Key, delay_s: float) -> None:
        try:
            if delay_s > 0:
                await asyncio.sleep(delay_s)
            await self._settle(*key)
        except Exception as error:  # noqa: BLE001 - one container must not end the daemon, whose task group we are in
            _LOG.error("apply change", extra=fields(namespace=key[0], id=key[1], error=error))
        finally:
            self._pending.discard(key)

    async def _settle(self, namespace: str, id_: str) -> None:
        """Brings one task to where its container wants it. Raises what keeps it from there."""
        try:
            container = self._containers.get(namespace, id_)
        except NotFound:
            return
        state = await self._state(namespace, id_)
        match container.labels.get(policy.STATUS):
            case policy.STOPPED if state is not None and state.status != Status.STOPPED:
                await self._end(namespace, id_)
            case policy.RUNNING if _starts(container.labels, state):
                self._started[namespace, id_] = self._clock.monotonic()
                await self._restart(namespace, container)
            case _:
                return

    async def _state(self, namespace: str, id_: str) -> State | None:
        try:
            return await self._tasks.state(namespace, id_, "")
        except NotFound:
            return None

    async def _restart(self, namespace: str, container: Container) -> None:
        """Counts, and puts a new task in the place of the old one."""
        count = f"labels.{policy.COUNT}"
        counted = Container(container.id, labels={policy.COUNT: str(policy.next_count(container.labels))})
        await self._containers.update(namespace, counted, [count])
        try:
            await self._end(namespace, container.id)
        except Error as error:  # then there is no room for a new one, and that is what is told
            _LOG.debug("old task", extra=fields(namespace=namespace, id=container.id, error=error))
        view = await self._tasks.container(namespace, container.id)
        rootfs = await self._rootfs(namespace, container)
        stdio = _stdio(container, view)
        await self._tasks.create(namespace, view, NewTask(container.id, rootfs, stdio))
        await self._tasks.start(namespace, container.id, "")

    async def _rootfs(self, namespace: str, container: Container) -> tuple[RootfsMount, ...]:
        if not container.snapshot_key:
            return ()
        snapshots = self._snapshotters.get(container.snapshotter)
        if snapshots is None:
            raise NotFound(f"snapshotter {container.snapshotter} of container {container.id}")
        mounts = await snapshots.mounts(namespace, container.snapshot_key)
        return tuple(RootfsMount(it.type, it.source, it.target, it.options) for it in mounts)

    async def _end(self, namespace: str, id_: str) -> None:
        """Kills a task with all that runs in it, and deletes it, if there is one."""
        try:
            await self._tasks.kill(namespace, id_, "", SIGKILL, all_=True)
            await self._tasks.wait(namespace, id_, "")
        except Error:
            # It may have ended, or be gone; if not, the deletion is refused.
            if await self._state(namespace, id_) is None:
                return
        await self._tasks.delete(namespace, id_)


def _starts(labels: Mapping[str, str], state: State | None) -> bool:
    if state is not None and (state.status == Status.RUNNING or state.status in _SKIPPED):
        return False
    return policy.wants_start(labels, state.exit_status if state is not None else 0)


def _stdio(container: Container, view: ContainerView) -> Stdio:
    """Where the output of a new task goes: to the log that the labels name; nowhere without one."""
    uri = container.labels.get(policy.LOG_URI, "")
    if not uri:
        return Stdio()
    try:
        process = _decoder.decode(view.spec).process
    except msgspec.DecodeError as error:
        raise Unknown(f"spec of container {container.id}: {error}") from error
    return Stdio(stdout=uri, stderr=uri, terminal=process.terminal)
