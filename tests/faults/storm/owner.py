"""One client that runs containers, each to its end, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2
from pycontainerd.api.containerd.services.containers.v1_pb2 import Container
from pycontainerd.api.containerd.types_pb2 import Mount
from pycontainerd.api.containerd.v1 import types_pb2
from pycontainerd.client.client import Client
from pycontainerd.errors import AlreadyExists, Error, NotFound
from tests.faults.storm.link import RETRY_S, Call, Link, Lost
from tests.faults.storm.output import Output
from tests.faults.storm.plan import KILLED, End, Life
from tests.faults.storm.scene import Scene
from tests.integration.tasks.house import process, spec

SNAPSHOTTER: Final = "overlayfs"
READY: Final = b"ready\n"
CREATE: Final = "create"
TRIES: Final = 20
"""Of one step: more failures in a row than a storm has faults are a defect."""
LIFE_S: Final = 300


@dataclass
class Seen:
    """What clients saw of one container: codes by process (init is ""), None for a task that was gone."""

    life: Life
    codes: dict[str, list[int | None]] = field(default_factory=dict)
    output: bytes = b""
    failures: list[str] = field(default_factory=list)
    """Steps that failed and were tried again, with the reason."""
    create_failed: bool = False
    """A kill met the making of the task: what was made by then is taken away, told with 137."""

    def add(self, exec_id: str, code: int | None) -> None:
        self.codes.setdefault(exec_id, []).append(code)


class Owner:
    """Runs the containers of one client; *neighbour* is another client, which waits for the same ends."""

    def __init__(self, scene: Scene, link: Link, neighbour: Link, parent: str) -> None:
        self._scene = scene
        self._link = link
        self._neighbour = neighbour
        self._parent = parent

    async def live(self, life: Life) -> Seen:
        """Runs one container from nothing to nothing: what clients saw of it."""
        seen = Seen(life)
        output = Output(self._scene.fifos / f"{life.id}-stdout")
        try:
            async with asyncio.timeout(LIFE_S):
                await self._live(life, seen, output)
        except TimeoutError:
            raise AssertionError(f"{life} did not end within {LIFE_S} s: {seen}") from None
        finally:
            output.close()
        seen.output = output.content
        return seen

    async def _live(self, life: Life, seen: Seen, output: Output) -> None:
        link, id_ = self._link, life.id
        await link.sure(lambda client: client.containers.create(self._record(life)), done=AlreadyExists)
        mounts = await link.sure(
            lambda client: client.snapshots(SNAPSHOTTER).prepare(id_, self._parent), done=AlreadyExists
        )
        if mounts is None:
            mounts = await link.sure(lambda client: client.snapshots(SNAPSHOTTER).mounts(id_))
        if await self._created(life, seen, output, mounts or []):
            async with asyncio.TaskGroup() as group:
                ends = [group.create_task(self._end(each, seen, "")) for each in (link, self._neighbour)]
                if await self._started(seen, ""):
                    await self._run(life, seen, output, ends[0])
            await self._deleted(seen)
        await link.sure(lambda client: client.containers.delete(id_), done=NotFound)
        with suppress(NotFound):  # the collector may have been quicker
            await link.sure(lambda client: client.snapshots(SNAPSHOTTER).remove(id_))

    def _record(self, life: Life) -> Container:
        record = Container(id=life.id, snapshotter=SNAPSHOTTER, snapshot_key=life.id)
        record.runtime.name = "io.containerd.runc.v2"
        options = runc_pb2.Options(root=str(self._scene.runc_root))
        record.runtime.options.type_url = options.DESCRIPTOR.full_name
        record.runtime.options.value = options.SerializeToString()
        document = spec(self._scene.namespace, life.id, Path("rootfs"), ["/bin/sh", "-c", _script(life)])
        document["mounts"].append({"destination": "/dev", "type": "tmpfs", "source": "tmpfs"})
        record.spec.type_url = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
        record.spec.value = json.dumps(document).encode()
        return record

    async def _created(self, life: Life, seen: Seen, output: Output, mounts: list[Mount]) -> bool:
        """Whether the task was made; its shim may have been killed at once."""

        async def create(client: Client) -> int:
            return await client.tasks.create(life.id, rootfs=mounts, stdout=str(output.path))

        return await self._step(CREATE, seen, "", create, lambda status: status is not None, gone_is_end=False)

    async def _started(self, seen: Seen, exec_id: str) -> bool:
        id_ = seen.life.id
        ran = (types_pb2.RUNNING, types_pb2.STOPPED)
        return await self._step(
            "start", seen, exec_id, lambda client: client.tasks.start(id_, exec_id), lambda status: status in ran
        )

    async def _step(
        self,
        what: str,
        seen: Seen,
        exec_id: str,
        call: Call[int],
        is_done: Callable[[int | None], bool],
        *,
        gone_is_end: bool = True,
    ) -> bool:
        """Tries *call* until it works, or the state of the process shows that it has; false if the process is gone."""
        for _ in range(TRIES):
            try:
                await self._link.ask(call)
            except Lost:
                pass
            except Error as error:
                seen.failures.append(f"{what} {exec_id}: {error}")
            else:
                return True
            seen.create_failed |= what == CREATE
            status = await self._status(self._link, seen.life.id, exec_id)
            if is_done(status):
                return True
            if status is None and gone_is_end:
                return False
        raise AssertionError(f"{what} of {seen.life} fails again and again: {seen.failures[-3:]}")

    async def _run(self, life: Life, seen: Seen, output: Output, end: asyncio.Task[int | None]) -> None:
        """What the client does while its container runs, until it has ended."""
        if life.end is End.ITSELF or not await _first(output.until(READY), end):
            return
        for number, code in enumerate(life.execs):
            await self._execute(seen, f"e{number}", code)
        number = signal.SIGTERM if life.end is End.TOLD else signal.SIGKILL
        await self._kill(seen, "", number, end)

    async def _execute(self, seen: Seen, exec_id: str, code: int) -> None:
        """Runs one exec to its end. One that runc could not start is followed by another."""
        id_ = seen.life.id
        script = f"exit {code}" if code != KILLED else "exec /bin/sleep 1000"
        for attempt in range(TRIES):
            name = f"{exec_id}-{attempt}"

            async def add(client: Client, name: str = name) -> None:
                await client.tasks.execute(id_, name, process("/bin/sh", "-c", script))

            try:
                await self._link.sure(add, done=AlreadyExists)
                started = await self._exec_started(seen, name)
                if started:
                    await self._exec_ended(seen, exec_id, name, code)
                await self._exec_deleted(id_, name)
            except Error as error:
                seen.failures.append(f"exec {name}: {error}")
                if await self._status(self._link, id_, "") is None:
                    seen.add(exec_id, None)
                    return
                continue
            if started:
                return
        raise AssertionError(f"execs of {seen.life} fail again and again: {seen.failures[-3:]}")

    async def _exec_deleted(self, id_: str, name: str) -> None:
        await self._link.sure(lambda client: client.tasks.delete_process(id_, name), done=NotFound)

    async def _exec_started(self, seen: Seen, name: str) -> bool:
        """Whether an exec runs, or has. One whose start has failed can't be started again."""
        id_ = seen.life.id
        while True:
            try:
                await self._link.ask(lambda client: client.tasks.start(id_, name))
            except Lost:
                status = await self._status(self._link, id_, name)
                if status is None:
                    raise NotFound(name) from None
                if status != types_pb2.CREATED:
                    return True
            except Error as error:
                seen.failures.append(f"start {name}: {error}")
                return await self._status(self._link, id_, name) in (types_pb2.RUNNING, types_pb2.STOPPED)
            else:
                return True

    async def _exec_ended(self, seen: Seen, exec_id: str, name: str, code: int) -> None:
        async with asyncio.TaskGroup() as group:
            end = group.create_task(_end_of(self._link, seen.life.id, name))
            if code == KILLED:
                await self._kill(seen, name, signal.SIGKILL, end)
        seen.add(exec_id, end.result())

    async def _kill(self, seen: Seen, exec_id: str, number: int, end: asyncio.Task[int | None]) -> None:
        """Sends a signal until one was sent, or the process has ended."""
        id_ = seen.life.id
        for _ in range(TRIES):
            try:
                await self._link.ask(lambda client: client.tasks.kill(id_, number, exec_id=exec_id))
            except Lost:
                continue
            except NotFound:
                return
            except Error as error:
                seen.failures.append(f"kill {exec_id}: {error}")
                if end.done() or await self._status(self._link, id_, exec_id) is None:
                    return
            else:
                return
        raise AssertionError(f"{seen.life} can't be killed: {seen.failures[-3:]}")

    async def _end(self, link: Link, seen: Seen, exec_id: str) -> int | None:
        code = await _end_of(link, seen.life.id, exec_id)
        seen.add(exec_id, code)
        return code

    async def _deleted(self, seen: Seen) -> None:
        """Deletes the task, and compares what that answers with what was seen."""
        id_ = seen.life.id
        for _ in range(TRIES):
            try:
                answer = await self._link.ask(lambda client: client.tasks.delete(id_))
            except Lost:
                continue
            except NotFound:
                return
            except Error as error:
                seen.failures.append(f"delete: {error}")
                await asyncio.sleep(RETRY_S)
            else:
                seen.add("", answer.exit_status)
                return
        raise AssertionError(f"{seen.life} can't be deleted: {seen.failures[-3:]}")

    async def _status(self, link: Link, id_: str, exec_id: str) -> int | None:
        return await _status(link, id_, exec_id)


async def _status(link: Link, id_: str, exec_id: str) -> int | None:
    """The state of a process, None if there is none."""
    try:
        found = await link.sure(lambda client: client.tasks.get(id_, exec_id))
    except NotFound:
        return None
    assert found is not None
    return found.status


async def _end_of(link: Link, id_: str, exec_id: str) -> int | None:
    """The code with which a process ends, None if it is gone without one: its shim was killed."""
    while True:
        try:
            answer = await link.sure(lambda client: client.tasks.wait(id_, exec_id))
        except NotFound:
            return None
        except Error:
            # The shim has just died: its end is told to nobody but in events, and the task goes.
            if await _status(link, id_, exec_id) is None:
                return None
            await asyncio.sleep(RETRY_S)
        else:
            assert answer is not None
            return answer.exit_status


async def _first(wanted: Coroutine[object, object, None], end: asyncio.Task[int | None]) -> bool:
    """Whether *wanted* has come before the *end*."""
    async with asyncio.TaskGroup() as group:
        coming = group.create_task(wanted)
        await asyncio.wait([coming, end], return_when=asyncio.FIRST_COMPLETED)
        came = coming.done()
        coming.cancel()
    return came


def _script(life: Life) -> str:
    if life.end is End.ITSELF:
        return f"echo ready; exit {life.code}"
    # A signal that comes before the trap is lost; one that comes after the word is not.
    return f"trap 'exit {life.code}' TERM; echo ready; while :; do /bin/sleep 1000 & wait; done"
