"""One container: its init, what becomes of it, and its execs.

Whatever ends is written into the bundle first, then published, then told to those who wait: `finish` is that order.
The exit of init comes after those of all running execs, and after the start event.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable
from typing import Any

import msgspec

from pycontainerd import faults
from pycontainerd.api.containerd import events_pb2
from pycontainerd.errors import NotFound, Unknown
from pycontainerd.mounts.model import Mount
from pycontainerd.mounts.model import Options as MountOptions
from pycontainerd.mounts.mounting import mount_one
from pycontainerd.quoting import quote
from pycontainerd.shim import exec_fifo, exit_record, removal, spec, steps, unmounting
from pycontainerd.shim import options as runc_options
from pycontainerd.shim.checkpoint import Checkpoint, checkpoint_arguments, keep_log, restore_arguments, working
from pycontainerd.shim.creation import CreateTask
from pycontainerd.shim.execs import Execs, read_pid
from pycontainerd.shim.host import Host
from pycontainerd.shim.oom import OomWatch
from pycontainerd.shim.process import Process, State
from pycontainerd.shim.reaper import Ended
from pycontainerd.shim.runc import RuncFailed
from pycontainerd.shim.runc_root import DEFAULT_ROOT, state_directory
from pycontainerd.shim.spawn import why
from pycontainerd.shim.stdio.opening import StreamOpener
from pycontainerd.shim.stdio.streams import Streams
from pycontainerd.shim.timestamp import set_timestamp
from pycontainerd.system.cgroup import Cgroup

KILLED_S = 10.0
"""How long a created container may take to be reaped once runc has deleted it."""

KILL_ALL_S = 10.0
"""How long runc may take to kill what a container without pids of its own has left behind."""

STARTING_S = 10.0
"""How long the exit of init is held back for what is being started: it is told after the start."""

faults.declare(
    "shim.create.mounted",
    "shim.create.made",
    "shim.start.told",
    "shim.exit.seen",
    "shim.exit.recorded",
    "shim.exit.told",
    "shim.delete.deleted",
    "shim.delete.unmounted",
)


class Container:
    """A container that runc knows, or will know once it is restored from a checkpoint."""

    def __init__(self, host: Host, request: CreateTask) -> None:
        options = request.options
        self.host = host
        self.id = request.id
        self.bundle = request.bundle
        self.request = request
        self.runc = host.make_runc(
            host.loop,
            host.reaper,
            options.binary_name or "runc",
            os.path.join(options.root or DEFAULT_ROOT, host.namespace),
            request.bundle,
            options.systemd_cgroup,
            host.environment,
            host.tie,
        )
        self.opener = StreamOpener(
            host.loop,
            host.reaper,
            host.journal,
            host.namespace,
            options.io_uid,
            options.io_gid,
            host.environment.get("XDG_RUNTIME_DIR") or host.environment.get("TMPDIR") or "/tmp",  # noqa: S108
        )
        self.init = Process(host.loop, request.id, request.stdio)
        self.execs = Execs(self)
        self.cgroup: Cgroup | None = None
        self._oom: OomWatch | None = None
        self._starting: Any = None
        self._spec = spec.Spec()

    @property
    def rootfs(self) -> str:
        return os.path.join(self.bundle, "rootfs")

    @property
    def restores(self) -> bool:
        """Whether it waits to be restored from a checkpoint: runc does not know it yet."""
        return bool(self.request.checkpoint) and self.init.state is State.CREATED

    def find(self, exec_id: str) -> Process:
        """Init, or the exec of that id. Raises NotFound."""
        return self.execs.find(exec_id) if exec_id else self.init

    # --- from nothing to running

    async def create(self) -> None:
        """Mounts, opens streams and lets runc create the container. Nothing is left of it if that fails."""
        runc_options.write(self.bundle, self.request.options)
        self._spec = _read_spec(self.bundle)
        if self._spec.hooks:
            steps.note(self.bundle, "hooks, for runc to run", ", ".join(self._spec.hook_paths()))
        try:
            self._mount()
            faults.reach("shim.create.mounted")
            self.init.streams = await self.open_streams(self.init)
            if not self.request.checkpoint:
                await self._create()
        except BaseException:
            await self.init.close_streams()
            await self._unmount()
            raise
        self.host.publisher.publish("/tasks/create", self._created_event())

    async def open_streams(self, process: Process) -> Streams:
        """Streams for one of the container's processes. Raises Unknown."""
        with steps.step(self.bundle, "open streams"):
            return await self.opener.open(process.id, process.request)

    async def _create(self) -> None:
        streams = self.init.streams
        assert streams is not None  # noqa: S101 - opened by the only caller
        options = self.request.options
        console = ["--console-socket", streams.console_socket] if streams.console_socket else []
        flags = ["--bundle", self.bundle, "--pid-file", self._pid_file, *console]
        flags += ["--no-pivot"] if options.no_pivot_root else []
        flags += ["--no-new-keyring"] if options.no_new_keyring else []
        with self.host.reaper.expecting():
            try:
                await self.hand_over(streams, "create", *flags, self.id)
            except RuncFailed as error:
                raise error.because("OCI runtime create failed") from error
            faults.reach("shim.create.made")
            self._born()

    def _born(self) -> None:
        """runc has made the init process."""
        self.init.pid = read_pid(self._pid_file)
        exited = self.host.reaper.exit_of(self.init.pid)
        self.host.loop.spawn(self._watch_init(exited), name=f"init {self.id}")
        try:
            self.cgroup = Cgroup.of_process(self.init.pid)
            self._oom = OomWatch.begin(self.host, self.id, self.bundle, self.cgroup)
        except OSError as error:  # it may have ended already; the container is none the worse
            self.host.journal.warning(f"container {self.id}: no control group: {error}")

    @property
    def _pid_file(self) -> str:
        return os.path.join(self.bundle, "init.pid")

    async def hand_over(self, streams: Streams, *arguments: str) -> None:
        """Runs runc with a process's streams, and takes the terminal that it may send. Raises RuncFailed, Unknown."""
        if not streams.console_socket:
            await self.runc.run_with(streams.given, *arguments)
        else:
            task, connected = self.host.loop.begin(streams.connected(), name="console")
            try:
                await self.runc.run_with(streams.given, *arguments)
                await connected
            finally:
                task.cancel()
                await task.ended
        streams.started()

    async def start(self) -> int:
        """Lets init run: its pid."""
        init = self.init
        async with init.lock:
            init.check("start")
            self._starting = self.host.loop.waiter()
            try:
                if self.request.checkpoint:
                    await self._restore()
                else:
                    await self._start()
                if init.state is State.CREATED:
                    init.state = State.RUNNING
                started = events_pb2.TaskStart(container_id=self.id, pid=init.pid)
                self.host.publisher.publish("/tasks/start", started)
                faults.reach("shim.start.told")
            finally:
                self._starting.set(None)
        return init.pid

    async def _start(self) -> None:
        if self.host.known.has(self.runc.find()) and not (self._spec.hooks or {}).get("poststart"):
            directory = state_directory(self.runc.root, self.id)
            with steps.step(self.bundle, "start by exec.fifo") as step:
                released = await exec_fifo.release(self.host.loop, directory, self.init.pid)
                step.result = "" if released else "left to runc"
            if released:
                return
        try:
            await self.runc.run("start", self.id)
        except RuncFailed as error:
            raise error.because("OCI runtime start failed") from error

    async def _restore(self) -> None:
        streams = self.init.streams
        assert streams is not None  # noqa: S101 - opened by create, closed by delete only
        arguments = restore_arguments(self.request, self._pid_file, streams.console_socket)
        with self.host.reaper.expecting():
            try:
                await self.hand_over(streams, *arguments)
            except RuncFailed as error:
                raise error.because("OCI runtime restore failed") from error
            self._born()

    # --- the end

    async def _watch_init(self, exited: Any) -> None:
        ended = await exited
        faults.reach("shim.exit.seen")
        self._keep(self.init, ended)
        try:
            await self._wind_up()
        except Exception as error:  # noqa: BLE001 - the exit is told whatever became of the rest
            self.host.journal.error(f"container {self.id}: at its end: {error!r}")
        self._tell(self.init, ended)

    async def _wind_up(self) -> None:
        """Init has ended: waits until nothing of the container runs any more, and its start is told."""
        self.execs.refuse()
        await self._started(self.execs.none_starting(), "an exec")
        if not self._spec.has_own_pids:
            await self._kill_left()
        await self.execs.none_running()
        if self._starting is not None:
            await self._started(self._starting, "init")
        if self._oom is not None:
            oom, self._oom = self._oom, None
            oom.close()

    async def _started(self, starting: Awaitable[Any], what: str) -> None:
        """Waits for the end of a start, within limits: runc may hang."""

        async def over() -> None:
            await starting

        task, ended = self.host.loop.begin(over(), name=f"start of {what} of {self.id}")
        if not await self.host.loop.first_within(ended, STARTING_S):
            task.cancel()
            text = f"container {self.id}: its exit is told while {what} is still being started"
            self.host.journal.error(text)

    async def _kill_left(self) -> None:
        """Kills what init has left; without runc's help at least the execs, whose ends are waited for."""
        task, killed = self.host.loop.begin(self.runc.run("kill", "--all", self.id, "9"), name=f"kill {self.id}")
        try:
            if await self.host.loop.first_within(killed, KILL_ALL_S):
                await killed
                return
            task.cancel()
            reason = f"runc has not ended within {KILL_ALL_S:g} s"
        except Exception as error:  # noqa: BLE001 - no descriptor left, no runc, whatever: they must end
            reason = str(error)
        self.host.journal.error(f"container {self.id}: failed to kill init's children: {reason}")
        self.execs.kill_running()

    def finish(self, process: Process, ended: Ended) -> None:
        """Keeps the exit, publishes it, and tells those who wait for it."""
        self._keep(process, ended)
        self._tell(process, ended)

    def _keep(self, process: Process, ended: Ended) -> None:
        try:
            exit_record.write(self.bundle, exit_record.ExitRecord(process.id, ended.pid, ended.status, ended.at_ns))
        except OSError as error:
            self.host.journal.error(f"exit of {process.id} in {self.bundle} can't be kept: {error}")
        steps.note(self.bundle, f"exit of {process.id}", f"status {ended.status}")
        faults.reach("shim.exit.recorded")

    def _tell(self, process: Process, ended: Ended) -> None:
        process.set_exited(ended.status, ended.at_ns)
        event = events_pb2.TaskExit(container_id=self.id, id=process.id, pid=ended.pid, exit_status=ended.status)
        set_timestamp(event.exited_at, ended.at_ns)
        bundle, id_ = self.bundle, process.id
        self.host.publisher.publish("/tasks/exit", event, delivered=lambda: exit_record.mark_delivered(bundle, id_))
        faults.reach("shim.exit.told")
        process.exited.set(None)

    async def delete(self) -> None:
        """Removes the container, which must not run, from runc, and what was mounted for it."""
        init = self.init
        async with init.lock:
            init.check("delete")
            if init.state is State.STOPPED and init.streams is not None:
                with steps.step(self.bundle, "drain output"):
                    await init.streams.drained()
            await self._delete()
            faults.reach("shim.delete.deleted")
            if init.pid and not init.exited.done():
                await self.host.loop.first_within(init.exited, KILLED_S)
            init.state = State.DELETED
            init.exited.set(None)
            for process in self.execs:
                await process.close_streams()
                process.exited.set(None)
            await init.close_streams()
            await self._unmount()
            faults.reach("shim.delete.unmounted")

    async def _delete(self) -> None:
        if not init_was_made(self) or self._removed():
            return
        try:
            await self.runc.run("delete", self.id)
        except RuncFailed as error:
            if "does not exist" not in f"{error.message}{error.said}":
                raise error.because("failed to delete task") from error

    def _removed(self) -> bool:
        """Whether the container could be removed without runc."""
        plain = self._spec.has_own_pids and not (self._spec.hooks or {}).get("poststop")
        if self.init.state is not State.STOPPED or not plain or self.request.options.systemd_cgroup:
            return False
        if not self.host.known.has(self.runc.find()):
            return False
        with steps.step(self.bundle, "remove from runc's state") as step:
            removed = removal.remove(state_directory(self.runc.root, self.id), self.init.pid)
            step.result = "" if removed else "left to runc"
        return removed

    def _mount(self) -> None:
        if not self.request.rootfs:
            return
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.rootfs, 0o711)
        for mount in self.request.rootfs:
            try:
                with steps.step(self.bundle, f"mount {mount.type} on rootfs{mount.target}"):
                    mount_one(mount, self.rootfs)
            except OSError as error:
                text = mount_failure(mount, self.rootfs, error)
                raise Unknown(f"failed to mount rootfs component: {text}") from error
            except Unknown as error:
                raise error.within("failed to mount rootfs component") from error

    async def _unmount(self) -> None:
        if not self.request.rootfs:
            return
        try:
            with steps.step(self.bundle, "unmount rootfs"):
                await unmounting.take_away(self.host.loop, self.rootfs)
        except OSError as error:
            self.host.journal.warning(f"failed to unmount {self.rootfs}: {error}")

    # --- while it runs

    async def pause(self) -> None:
        await self._freeze("pause", State.PAUSING, State.PAUSED, "/tasks/paused")

    async def resume(self) -> None:
        await self._freeze("resume", None, State.RUNNING, "/tasks/resumed")

    async def _freeze(self, action: str, meanwhile: State | None, after: State, topic: str) -> None:
        init = self.init
        async with init.lock:
            init.check(action)
            before = init.state
            if meanwhile is not None:
                init.state = meanwhile
            try:
                await self.runc.run(action, self.id)
            except RuncFailed as error:
                if not init.stopped:
                    init.state = before
                raise error.because(f"OCI runtime {action} failed") from error
            if not init.stopped:
                init.state = after
        kind = events_pb2.TaskPaused if after is State.PAUSED else events_pb2.TaskResumed
        self.host.publisher.publish(topic, kind(container_id=self.id))

    async def kill(self, signal: int, *, everyone: bool) -> None:
        """Sends init a signal, or every process of the container."""
        init = self.init
        async with init.lock:
            if init.state is State.DELETED:
                raise NotFound("process already finished")
            flags = ["--all"] if everyone else []
            try:
                await self.runc.run("kill", *flags, self.id, str(signal))
            except RuncFailed as error:
                raise kill_error(error) from error

    async def update(self, resources: bytes) -> None:
        """Applies new limits, given as the JSON of OCI LinuxResources."""
        async with self.init.lock:
            self.init.check("update")
            try:
                msgspec.json.decode(resources, type=dict[str, msgspec.Raw])
            except msgspec.DecodeError as error:
                raise Unknown(f"resources: {error}") from error
            await self.runc.run("update", "--resources=-", self.id, stdin=resources)

    async def pids(self) -> list[tuple[int, str]]:
        """The processes of the container, with their exec ids or nothing."""
        try:
            output = await self.runc.run("ps", "--format", "json", self.id)
        except RuncFailed as error:
            raise error.because("OCI runtime ps failed") from error
        known = {process.pid: process.id for process in self.execs if process.pid}
        numbers = msgspec.json.decode(output or b"[]", type=list[int] | None) or []
        return [(number, known.get(number, "")) for number in numbers]

    async def checkpoint(self, how: Checkpoint) -> None:
        """Writes the container's state to a directory."""
        async with self.init.lock:
            self.init.check("checkpoint")
            with working(self.bundle, how) as work:
                try:
                    await self.runc.run(*checkpoint_arguments(self.request, how, work))
                except RuncFailed as error:
                    log = keep_log(self.bundle, work)
                    raise Unknown(f"{error.message.splitlines()[0]} path= {log}") from error

    def _created_event(self) -> events_pb2.TaskCreate:
        stdio = self.request.stdio
        event = events_pb2.TaskCreate(
            container_id=self.id,
            bundle=self.bundle,
            checkpoint=self.request.checkpoint,
            pid=self.init.pid,
            io=events_pb2.TaskIO(stdin=stdio.stdin, stdout=stdio.stdout, stderr=stdio.stderr, terminal=stdio.terminal),
        )
        for mount in self.request.rootfs:
            event.rootfs.add(type=mount.type, source=mount.source, target=mount.target, options=mount.options)
        return event


def init_was_made(container: Container) -> bool:
    """Whether runc has heard of the container: one that waits to be restored was never created."""
    return container.init.pid > 0


def kill_error(error: RuncFailed) -> Exception:
    """What runc's complaint about a signal means."""
    text = f"{error.message} {error.said}"
    finished = ("os: process already finished", "container not running", "no such process")
    if any(each in text for each in finished):
        return NotFound("process already finished")
    if "does not exist" in text:
        return NotFound("no such container")
    return Unknown(f"unknown error after kill: {error.message}")


def _read_spec(bundle: str) -> spec.Spec:
    try:
        return spec.read(bundle)
    except (OSError, msgspec.DecodeError):
        return spec.Spec()  # runc will say what is wrong with it


def mount_failure(mount: Mount, target: str, error: OSError) -> str:
    """Why *mount* below *target* failed, in the words of the original."""
    options = MountOptions.parse(mount.options)
    place = os.path.normpath(f"{target}/{mount.target}")
    source, place, data = map(quote, (mount.source, place, ",".join(options.data)))
    what = f"mount source: {source}, target: {place}, fstype: {mount.type}, flags: {options.flags}, data: {data}"
    return f"{what}, err: {why(error)}"
