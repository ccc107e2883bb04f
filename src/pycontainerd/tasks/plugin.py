"""The plugins of the tasks: the store, the service on it, and gRPC."""

from __future__ import annotations

import logging
from typing import Final

from pycontainerd.containers.store import ContainerStore
from pycontainerd.errors import NotFound
from pycontainerd.log import fields
from pycontainerd.plugin import sections, types
from pycontainerd.plugin.registration import Init, plugin
from pycontainerd.rpc.service import Service
from pycontainerd.runtime.manager import ShimManager
from pycontainerd.runtime.model import Payload
from pycontainerd.runtime.recovery import Recovery
from pycontainerd.runtime.told import note_told
from pycontainerd.sandboxes import codec
from pycontainerd.sandboxes.store import SandboxStore
from pycontainerd.tasks.activated import ActivatedRootfs
from pycontainerd.tasks.checkpointing import Checkpoints
from pycontainerd.tasks.explaining import TaskJournalsService
from pycontainerd.tasks.info import InformativeTasks
from pycontainerd.tasks.model import ContainerView
from pycontainerd.tasks.service import TasksService
from pycontainerd.tasks.store import Tasks

_LOG: Final = logging.getLogger(__name__)
LOG_SCHEMES: Final = "fifo,binary,binary-v2,file,cri-log"


class StoredContainers:
    """The records of containers as the tasks need them."""

    def __init__(self, store: ContainerStore, sandboxes: SandboxStore) -> None:
        self._store = store
        self._sandboxes = sandboxes

    def container(self, namespace: str, id_: str) -> ContainerView:
        record = self._store.get(namespace, id_)
        options = record.runtime.options
        return ContainerView(
            id=record.id,
            runtime=record.runtime.name,
            options=Payload(options.type_url, options.value) if options is not None else None,
            spec=record.spec.value if record.spec is not None else b"",
            sandbox=record.sandbox,
            spec_type=record.spec.type_url if record.spec is not None else "",
        )

    def require(self, namespace: str, id_: str) -> None:
        self._store.get_wire(namespace, id_)

    def exists(self, namespace: str, id_: str) -> bool:
        try:
            self._store.get_wire(namespace, id_)
        except NotFound:
            return False
        return True

    def has_sandbox(self, namespace: str, id_: str) -> bool:
        try:
            self._sandboxes.get_wire(namespace, id_)
        except NotFound:
            return False
        return True

    def runtime(self, namespace: str, id_: str) -> str:
        return self._store.get(namespace, id_).runtime.name


@plugin(
    types.RUNTIME,
    "task",
    requires=[types.SHIM, types.MOUNT_MANAGER, types.WARNING],
    config=sections.Task,
)
async def task(init: Init) -> Tasks:
    """The tasks of the daemon. Its shims are found again beside the start of the other plugins."""
    config: sections.Task = init.config
    init.platforms.extend(config.platforms)
    init.exports["log-uri-schemes"] = LOG_SCHEMES
    manager: ShimManager = init.plugins.single(types.SHIM)
    metadata = init.plugins.single(types.METADATA)
    containers = StoredContainers(metadata.containers, SandboxStore(metadata.database, codec))
    state, root = str(init.state), str(init.root)
    rootfs = ActivatedRootfs(init.plugins.single(types.MOUNT_MANAGER))
    tasks = InformativeTasks(manager, containers, state, root, init.clock.now_ns, rootfs=rootfs)
    recovery = Recovery(manager, state, root, has_container=containers.exists, runtime_of=containers.runtime)

    async def recover() -> None:
        await recovery.run()
        tasks.recovered.set()

    async def tell() -> None:
        init.spawn(_tell(tasks, recovery), name="tell exits")

    init.spawn(note_told(init.plugins.single(types.EVENT), manager.shims), name="note told exits")
    init.spawn(recover(), name="find shims")
    init.after_serving.append(tell)
    return tasks


@plugin(
    types.SERVICE,
    "tasks-service",
    requires=[types.EVENT, types.RUNTIME, types.METADATA, types.MONITOR_TASK, types.WARNING],
    config=sections.TasksService,
)
async def tasks_service(init: Init) -> Tasks:
    config: sections.TasksService = init.config
    for what, path in (("blockio", config.blockio_config_file), ("rdt", config.rdt_config_file)):
        if path:
            _LOG.error("%s config is not supported", what, extra=fields(file=path))
    tasks: Tasks = init.plugins.by_id(types.RUNTIME, "task")
    for monitor in init.plugins.all(types.MONITOR_TASK).values():
        monitor.follow(tasks)
    return tasks


@plugin(types.GRPC, "tasks", requires=[types.SERVICE])
async def tasks(init: Init) -> tuple[Service, ...]:
    store: Tasks = init.plugins.by_id(types.SERVICE, "tasks-service")
    content = init.plugins.single(types.METADATA).content
    checkpoints = Checkpoints(store, content, lambda: init.plugins.by_id(types.DIFFER, "walking"))
    return TasksService(store, checkpoints), TaskJournalsService(store)


async def _tell(tasks: Tasks, recovery: Recovery) -> None:
    """Tells what happened while there was no daemon, once shims are found and clients can listen."""
    await tasks.recovered.wait()
    recovery.tell()
