"""The plugins of the sandboxes: the store, the service on it, and the one that finds controllers."""

from __future__ import annotations

from pycontainerd.plugin import types
from pycontainerd.plugin.registration import Init, plugin
from pycontainerd.sandboxes import codec
from pycontainerd.sandboxes.service import ControllersService, SandboxesService
from pycontainerd.sandboxes.store import SandboxStore


@plugin(types.SANDBOX_STORE, "local", requires=[types.METADATA])
async def local(init: Init) -> SandboxStore:
    return SandboxStore(init.plugins.single(types.METADATA).database, codec)


@plugin(types.GRPC, "sandboxes", requires=[types.SANDBOX_STORE])
async def sandboxes(init: Init) -> SandboxesService:
    return SandboxesService(init.plugins.single(types.SANDBOX_STORE))


@plugin(
    types.GRPC,
    "sandbox-controllers",
    requires=[types.POD_SANDBOX_CONTROLLER, types.SANDBOX_CONTROLLER, types.EVENT],
)
async def sandbox_controllers(init: Init) -> ControllersService:
    """Of two controllers of one name that of the newer type answers."""
    older, newer = (init.plugins.all(type_) for type_ in (types.POD_SANDBOX_CONTROLLER, types.SANDBOX_CONTROLLER))
    return ControllersService({**older, **newer})
