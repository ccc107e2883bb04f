"""Tasks by container: created, asked and deleted. Everything is a call to the shim that has the task.

A daemon that has just started may serve before it has found all of its shims again: whoever asks for a task waits until
`recovered` is set.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from pycontainerd import faults
from pycontainerd.api.containerd.types_pb2 import RuntimeInfo
from pycontainerd.errors import Error, InvalidArgument, NotFound, Unknown
from pycontainerd.log import fields
from pycontainerd.rpc.call import check_identifier
from pycontainerd.rpc.ttrpc.link import ConnectionClosed
from pycontainerd.runtime import executable, joining, spec
from pycontainerd.runtime.bootstrap import Bootstrap
from pycontainerd.runtime.bundle import Bundle
from pycontainerd.runtime.manager import ShimManager
from pycontainerd.runtime.model import Exit, Payload, ProcessInfo, RootfsMount, State, Stdio
from pycontainerd.runtime.outputs import Outputs
from pycontainerd.runtime.shim import Shim
from pycontainerd.shim import steps
from pycontainerd.shim.steps import Step
from pycontainerd.tasks.model import AsGiven, Containers, ContainerView, Counted, Journal, NewTask, Rootfs, Statistics

faults.declare("tasks.create.started", "tasks.create.created", "tasks.delete.deleted")

_LOG: Final = logging.getLogger(__name__)

ALLOWED_MOUNTS: Final = "containerd.io/runtime-allow-mounts"
"""The annotation by which a shim tells types of mounts that are left to it, separated by commas."""

CHECKPOINT: Final = "checkpoint"
"""In the work directory of a task, what it was restored from."""

DEFAULT_RUNTIME: Final = "io.containerd.runc.v2"


class Trial:
    """What is tried for a task while it has no bundle to note it in."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[None]:
        step = Step(time.time_ns(), what, steps.DAEMON)
        self.steps.append(step)
        with steps.ending(step):
            yield

    @property
    def failed(self) -> bool:
        return steps.failed(self.steps)


class _Created(NamedTuple):
    shim: Shim
    pid: int


class Tasks:
    """The tasks of a daemon; *state* and *root* are where their bundles and work directories lie."""

    def __init__(
        self,
        manager: ShimManager,
        containers: Containers,
        state: str,
        root: str,
        now_ns: Callable[[], int],
        *,
        rootfs: Rootfs | None = None,
    ) -> None:
        self.manager = manager
        self.outputs = Outputs(manager.about)
        self.recovered = asyncio.Event()
        self._containers = containers
        self._state = state
        self._root = root
        self._now_ns = now_ns
        self._rootfs: Rootfs = rootfs or AsGiven()

    async def create(self, namespace: str, container: ContainerView, task: NewTask) -> int:
        """Makes the container of a task, in a shim: the pid of its init, which waits to be started.

        If the caller is cancelled, what is being made is finished and taken away again: a shim can't be stopped in
        the middle. Raises AlreadyExists, or what shim and runtime answer.
        """
        created = await self.manager.finish(
            self._create(namespace, container, task),
            f"create task {task.id}",
            unwanted=lambda created: self._abandon(created.shim),
        )
        return created.pid

    async def _create(self, namespace: str, container: ContainerView, task: NewTask) -> _Created:
        manager = self.manager
        with manager.shims.reserved(namespace, task.id):
            trial = Trial()
            try:
                rootfs = await self._activated(namespace, container, task, trial)
                try:
                    shim = await self._start_shim(namespace, container, task, trial)
                    return await self._create_in(shim, rootfs, container, task)
                except BaseException:
                    unmount = self._rootfs.deactivate(namespace, task.id)
                    await manager.undo(unmount, f"unmount the root of task {task.id}")
                    raise
            finally:
                if trial.failed:
                    await asyncio.to_thread(manager.failures.note, namespace, task.id, trial.steps)

    async def _activated(
        self, namespace: str, container: ContainerView, task: NewTask, trial: Trial
    ) -> Sequence[RootfsMount]:
        """The mounts that are left for the shim."""
        if not task.rootfs:
            return ()
        with trial.step("activate mounts"):
            return await self._rootfs.activate(namespace, task.id, task.rootfs, lambda: self._allowed(container, task))

    async def _create_in(
        self, shim: Shim, rootfs: Sequence[RootfsMount], container: ContainerView, task: NewTask
    ) -> _Created:
        manager = self.manager
        faults.reach("tasks.create.started")
        try:
            checkpoint = await self._unpacked(shim, task)
            with steps.step(shim.bundle.path, "create", by=steps.DAEMON):
                pid = await shim.api.create(
                    task.id,
                    shim.bundle.path,
                    rootfs=rootfs,
                    stdio=await self.outputs.arranged(shim, "", task.stdio),
                    checkpoint=checkpoint,
                    options=task.options or container.options,
                )
                if task.change is not None:
                    await task.change(shim.bundle.rootfs)
                    pid = await shim.api.start(task.id, "")
        except BaseException as error:
            await manager.undo(self._abandon(shim), f"take back task {task.id}")
            if isinstance(error, Error):
                raise error.within("failed to create shim task") from None
            raise
        faults.reach("tasks.create.created")
        manager.keep(shim)
        return _Created(shim, pid)

    async def _unpacked(self, shim: Shim, task: NewTask) -> str:
        """The directory of the checkpoint that *task* begins from, nothing if it does not."""
        if task.unpack is None:
            return task.checkpoint
        directory = os.path.join(shim.bundle.work, CHECKPOINT)
        with steps.step(shim.bundle.path, "unpack checkpoint", by=steps.DAEMON):
            await task.unpack(directory)
        return directory

    async def delete(self, namespace: str, id_: str) -> Exit:
        """Deletes a task that is created or stopped, and ends its shim: how it ended.

        Raises NotFound, or what the shim answers if the task is in another state.
        """
        shim = await self.shim(namespace, id_)
        return await self._end(shim, "failed to delete task")

    async def delete_process(self, namespace: str, id_: str, exec_id: str) -> Exit:
        """Deletes an exec that is created or stopped, or the task if *exec_id* is empty."""
        shim = await self.shim(namespace, id_)
        if not exec_id:
            return await self._end(shim, "")
        return await shim.api.delete(id_, exec_id)

    async def start(self, namespace: str, id_: str, exec_id: str) -> int:
        """Starts the task or one of its execs: the pid."""
        shim = await self.shim(namespace, id_)
        try:
            return await shim.api.start(id_, exec_id)
        except ConnectionClosed:
            if exec_id:
                raise NotFound("") from None
            raise

    async def state(self, namespace: str, id_: str, exec_id: str) -> State:
        """The state of the task or an exec. Raises NotFound also when the shim has just died, DeadlineExceeded."""
        shim = await self.shim(namespace, id_)
        try:
            return await shim.api.state(id_, exec_id, timeout_s=self.manager.timeouts.state_s)
        except ConnectionClosed:
            raise NotFound("") from None

    async def states(self, namespace: str) -> list[State]:
        """The states of all tasks of *namespace*; those that can't be asked are left out."""
        await self.recovered.wait()
        timeout_s = self.manager.timeouts.state_s
        shims = self.manager.shims.of_namespace(namespace)
        answers = await asyncio.gather(
            *(shim.api.state(shim.id, "", timeout_s=timeout_s) for shim in shims), return_exceptions=True
        )
        return [answer for answer in answers if isinstance(answer, State)]

    async def add_exec(self, namespace: str, id_: str, exec_id: str, stdio: Stdio, process: Payload) -> None:
        """Adds a process that `start` starts. Raises InvalidArgument for a bad id, AlreadyExists."""
        shim = await self.shim(namespace, id_)
        try:
            check_identifier(exec_id)
        except InvalidArgument as error:
            raise error.within(f"invalid exec id {exec_id}") from None
        await shim.api.exec(id_, exec_id, await self.outputs.arranged(shim, exec_id, stdio), process)

    async def kill(self, namespace: str, id_: str, exec_id: str, signal: int, *, all_: bool) -> None:
        shim = await self.shim(namespace, id_)
        await shim.api.kill(id_, exec_id, signal, all_=all_)

    async def wait(self, namespace: str, id_: str, exec_id: str) -> Exit:
        """Waits for the end of the task or an exec. Raises what the connection ends with if the shim dies."""
        shim = await self.shim(namespace, id_)
        try:
            return await self.manager.end_of(shim, exec_id)
        except ConnectionClosed:
            if exec_id:
                raise NotFound("") from None
            raise

    async def pause(self, namespace: str, id_: str) -> None:
        shim = await self.shim(namespace, id_)
        await shim.api.pause(id_)

    async def resume(self, namespace: str, id_: str) -> None:
        shim = await self.shim(namespace, id_)
        await shim.api.resume(id_)

    async def pids(self, namespace: str, id_: str) -> list[ProcessInfo]:
        shim = await self.shim(namespace, id_)
        return await shim.api.pids(id_)

    async def resize_pty(self, namespace: str, id_: str, exec_id: str, width: int, height: int) -> None:
        shim = await self.shim(namespace, id_)
        await shim.api.resize_pty(id_, exec_id, width, height)

    async def close_io(self, namespace: str, id_: str, exec_id: str, *, stdin: bool) -> None:
        """Closes the stdin of a process, if that is what is asked. Raises NotFound for an unknown exec in any case."""
        shim = await self.shim(namespace, id_)
        if stdin:
            await shim.api.close_stdin(id_, exec_id)
        elif exec_id:
            await self.state(namespace, id_, exec_id)

    async def update(self, namespace: str, id_: str, resources: Payload, annotations: dict[str, str]) -> None:
        """Changes the resources of a task."""
        shim = await self.shim(namespace, id_)
        await shim.api.update(id_, resources, annotations)

    async def statistics(self, namespace: str, wanted: Callable[[str], bool]) -> list[Statistics]:
        """The figures of those tasks of *namespace* whose id is *wanted*; those that can't be asked are left out."""
        await self.recovered.wait()
        timeout_s = self.manager.timeouts.stats_s
        shims = [shim for shim in self.manager.shims.of_namespace(namespace) if wanted(shim.id)]
        answers = await asyncio.gather(
            *(shim.api.stats(shim.id, timeout_s=timeout_s) for shim in shims), return_exceptions=True
        )
        now_ns = self._now_ns()
        return [
            Statistics(shim.id, now_ns, answer)
            for shim, answer in zip(shims, answers, strict=True)
            if isinstance(answer, Payload)
        ]

    async def counted(self) -> list[Counted]:
        """The figures of the tasks of all namespaces; those that can't be asked are left out."""
        answers = await asyncio.gather(*(self._count(shim) for shim in self.manager.shims), return_exceptions=True)
        return [answer for answer in answers if isinstance(answer, Counted)]

    async def _count(self, shim: Shim) -> Counted:
        data = await shim.api.stats(shim.id, timeout_s=self.manager.timeouts.stats_s)
        runtime = self._containers.container(shim.namespace, shim.id).runtime
        return Counted(shim.namespace, shim.id, runtime, data)

    async def runtime_info(self, runtime: str, options: Payload | None) -> RuntimeInfo:
        """What the shim of *runtime* tells of itself and of the OCI runtime below it. Raises Unknown."""
        try:
            binary = self.manager.discovery.resolve(runtime or DEFAULT_RUNTIME)
        except Error as error:
            raise error.within("failed to resolve runtime path") from None
        return await executable.info(self.manager.about, binary, options)

    async def journals(self, namespace: str, id_: str) -> list[Journal]:
        """What was tried for the task that there is, and for the last of that id which failed. Raises NotFound."""
        check_identifier(id_)
        await self.recovered.wait()
        return await asyncio.to_thread(self._journals, namespace, id_)

    def _journals(self, namespace: str, id_: str) -> list[Journal]:
        live = steps.read(self.bundle(namespace, id_).file(steps.NAME))
        lost = steps.read(self.manager.failures.path(namespace, id_))
        found = [Journal(tuple(it), gone) for it, gone in ((live, False), (lost, True)) if it]
        if not found:
            raise NotFound(f'no task "{id_}" in namespace "{namespace}", and none that failed')
        return found

    def bundle(self, namespace: str, id_: str) -> Bundle:
        """Where the bundle of a task lies."""
        return Bundle(
            namespace, id_, os.path.join(self._state, namespace, id_), os.path.join(self._root, namespace, id_)
        )

    async def container(self, namespace: str, id_: str) -> ContainerView:
        """The record that a task is made from. Raises NotFound."""
        container = self._containers.container(namespace, id_)
        await self.recovered.wait()
        return container

    async def shim(self, namespace: str, id_: str) -> Shim:
        """The shim of a task whose container has a record. Raises NotFound for either."""
        self._containers.require(namespace, id_)
        await self.recovered.wait()
        return self.manager.shims.get(namespace, id_)

    async def _start_shim(self, namespace: str, container: ContainerView, task: NewTask, trial: Trial) -> Shim:
        with trial.step("start shim"):
            shim = await self._started_shim(namespace, container, task)
        steps.append(shim.bundle.path, trial.steps)
        return shim

    async def _started_shim(self, namespace: str, container: ContainerView, task: NewTask) -> Shim:
        runtime = task.runtime or container.runtime
        options = task.options or container.options
        try:
            if not container.spec:
                raise Unknown(f'start failed: container "{container.id}" in namespace "{namespace}" has no spec')
            view = spec.view(container.spec)
            bundle = self.bundle(namespace, container.id)
            if (bootstrap := self._joined(namespace, container.sandbox, task)) is not None:
                return await self.manager.join(bundle, container.sandbox, bootstrap, container.spec, view)
            try:
                binary = self.manager.discovery.resolve(runtime)
            except Error as error:
                raise error.within("failed to resolve runtime path") from None
            if view.has_idmap_mounts():
                await self._check_idmap(runtime, options)
            return await self.manager.start(bundle, binary, container.spec, view, options)
        except Error as error:
            raise error.within("failed to start shim") from None

    def _joined(self, namespace: str, sandbox: str, task: NewTask) -> Bootstrap | None:
        """Where the sandbox serves which the task joins; None if it gets a shim of its own. Raises Unknown, NotFound.

        A sandbox without a record is none that a controller runs: its name groups containers in the shim itself.
        """
        if not sandbox or not self._containers.has_sandbox(namespace, sandbox):
            return None
        bootstrap = joining.endpoint(self.manager.shims, namespace, sandbox, task.api_address, task.api_version)
        return bootstrap if bootstrap.version >= joining.JOINABLE else None

    async def _check_idmap(self, runtime: str, options: Payload | None) -> None:
        """Raises Unknown if the OCI runtime does not say that it can map the ids of mounts."""
        info = await self.runtime_info(runtime, options)
        try:
            features = json.loads(info.features.value or b"{}")
            enabled = features["linux"]["mountExtensions"]["idmap"]["enabled"]
        except (ValueError, KeyError, TypeError):
            enabled = False
        if not enabled:
            raise Unknown(
                "failed to validate OCI runtime features: idmap mounts not supported: "
                f"the features of runtime {runtime} don't have linux.mountExtensions.idmap.enabled"
            )

    async def _abandon(self, shim: Shim) -> None:
        """Takes away a shim whose task could not be created."""
        force = True  # there may be no container that the shim knows, but something of it
        with contextlib.suppress(Error):
            await shim.api.delete(shim.id, "", timeout_s=self.manager.timeouts.cleanup_s)
            force = False
        async with shim.removing:
            await self.manager.remove(shim, force=force)

    async def _end(self, shim: Shim, context: str) -> Exit:
        return await self.manager.finish(self._delete(shim, context), f"delete task {shim.id}")

    async def _delete(self, shim: Shim, context: str) -> Exit:
        async with shim.removing:
            if not self.manager.shims.holds(shim):
                raise NotFound(f"task {shim.id} not found", bare=True)
            try:
                exit_ = await shim.api.delete(shim.id, "")
            except Error as error:
                if isinstance(error, NotFound):
                    await self.manager.remove(shim, force=True)
                    await self._unmount(shim)
                raise error.within(context) if context else error from None
            faults.reach("tasks.delete.deleted")
            await self.manager.remove(shim, force=False)
            await self._unmount(shim)
            # A stock shim may have ended before it could send the event.
            self.manager.tell_deleted(shim.namespace, shim.id, exit_)
            return exit_

    async def _unmount(self, shim: Shim) -> None:
        try:
            await self._rootfs.deactivate(shim.namespace, shim.id)
        except Error as error:
            # The task is gone; the collector takes what is still mounted with the container's record.
            _LOG.warning("failed to unmount the root", extra=fields(id=shim.id, namespace=shim.namespace, error=error))

    async def _allowed(self, container: ContainerView, task: NewTask) -> Sequence[str]:
        """The types of mounts that the shim says it mounts itself."""
        info = await self.runtime_info(task.runtime or container.runtime, task.options or container.options)
        return [type_ for type_ in info.annotations.get(ALLOWED_MOUNTS, "").split(",") if type_]
