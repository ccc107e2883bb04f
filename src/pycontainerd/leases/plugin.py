"""The plugins of the leases: the manager, and the service on it."""

from __future__ import annotations

from pycontainerd.gc.measuring import Measuring
from pycontainerd.gc.service import GarbageCollectorService
from pycontainerd.leases.service import LeasesService
from pycontainerd.leases.store import LeaseStore
from pycontainerd.plugin import types
from pycontainerd.plugin.registration import Init, plugin
from pycontainerd.rpc.service import Service


@plugin(types.LEASE, "manager", requires=[types.METADATA, types.GC])
async def manager(init: Init) -> LeaseStore:
    leases: LeaseStore = init.plugins.single(types.METADATA).leases
    leases.collect_with(init.plugins.single(types.GC))
    return leases


@plugin(types.GRPC, "leases", requires=[types.LEASE])
async def leases(init: Init) -> tuple[Service, ...]:
    """The service, and beside it our own on the collector, which the list of plugins must not show."""
    metadata = init.plugins.single(types.METADATA)
    backends = {name: store.backend for name, store in metadata.snapshotters.items()}
    measuring = Measuring(metadata.database, backends)
    collector = GarbageCollectorService(metadata.database, init.plugins.single(types.GC), init.clock, measuring)
    return LeasesService(init.plugins.single(types.LEASE)), collector
