"""The plugins of the sandboxes: the store, the service on it, the controller of shims, and who finds controllers."""

from __future__ import annotations

import os

from pycontainerd.errors import NotFound
from pycontainerd.plugin import types
from pycontainerd.plugin.registration import Init, plugin
from pycontainerd.runtime.manager import ShimManager
from pycontainerd.runtime.walk import Walk
from pycontainerd.sandboxes import codec
from pycontainerd.sandboxes.found_again import SandboxJudge
from pycontainerd.sandboxes.service import ControllersService, SandboxesService
from pycontainerd.sandboxes.shim_controller import ShimController
from pycontainerd.sandboxes.store import SandboxStore

DIRECTORY_MODE = 0o700


@plugin(types.SANDBOX_STORE, "local", requires=[types.METADATA])
async def local(init: Init) -> SandboxStore:
    return SandboxStore(init.plugins.single(types.METADATA).database, codec)


@plugin(types.GRPC, "sandboxes", requires=[types.SANDBOX_STORE])
async def sandboxes(init: Init) -> SandboxesService:
    return SandboxesService(init.plugins.single(types.SANDBOX_STORE))


@plugin(types.SANDBOX_CONTROLLER, "shim", requires=[types.SHIM, types.EVENT])
async def shim(init: Init) -> ShimController:
    """The sandboxes that are shims. Those of an earlier daemon are found before anyone can ask for them."""
    manager: ShimManager = init.plugins.single(types.SHIM)
    store = SandboxStore(init.plugins.single(types.METADATA).database, codec)
    for directory in (init.root, init.state):
        os.makedirs(directory, DIRECTORY_MODE, exist_ok=True)
        os.chmod(directory, DIRECTORY_MODE)

    def runtime_of(namespace: str, id_: str) -> str:
        return store.get(namespace, id_).runtime.name

    def has_record(namespace: str, id_: str) -> bool:
        try:
            store.get_wire(namespace, id_)
        except NotFound:
            return False
        return True

    state, root = str(init.state), str(init.root)
    await Walk(manager, state, root, runtime_of, SandboxJudge(manager, has_record)).run()
    return ShimController(manager, state, root, init.clock.now_ns)


@plugin(
    types.GRPC,
    "sandbox-controllers",
    requires=[types.POD_SANDBOX_CONTROLLER, types.SANDBOX_CONTROLLER, types.EVENT],
)
async def sandbox_controllers(init: Init) -> ControllersService:
    """Of two controllers of one name that of the newer type answers."""
    older, newer = (init.plugins.all(type_) for type_ in (types.POD_SANDBOX_CONTROLLER, types.SANDBOX_CONTROLLER))
    return ControllersService({**older, **newer}, init.plugins.single(types.EVENT))
