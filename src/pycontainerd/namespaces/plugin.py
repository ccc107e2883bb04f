"""The plugins of the namespaces: the store's service, and the gRPC service on it."""

from __future__ import annotations

from pycontainerd.namespaces.service import NamespacesService
from pycontainerd.namespaces.store import NamespaceStore
from pycontainerd.plugin import types
from pycontainerd.plugin.registration import Init, plugin


@plugin(types.SERVICE, "namespaces-service", requires=[types.EVENT, types.METADATA])
async def namespaces_service(init: Init) -> NamespaceStore:
    store: NamespaceStore = init.plugins.single(types.METADATA).namespaces
    return store


@plugin(types.GRPC, "namespaces", requires=[types.SERVICE])
async def namespaces(init: Init) -> NamespacesService:
    return NamespacesService(init.plugins.by_id(types.SERVICE, "namespaces-service"))
