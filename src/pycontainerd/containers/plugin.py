"""The plugins of the containers: the store's service, and the gRPC service on it."""

from __future__ import annotations

from pycontainerd.containers.service import ContainersService
from pycontainerd.containers.store import ContainerStore
from pycontainerd.plugin import types
from pycontainerd.plugin.registration import Init, plugin


@plugin(types.SERVICE, "containers-service", requires=[types.EVENT, types.METADATA])
async def containers_service(init: Init) -> ContainerStore:
    store: ContainerStore = init.plugins.single(types.METADATA).containers
    return store


@plugin(types.GRPC, "containers", requires=[types.SERVICE])
async def containers(init: Init) -> ContainersService:
    return ContainersService(init.plugins.by_id(types.SERVICE, "containers-service"))
