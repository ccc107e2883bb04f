"""The plugins of this folder."""

from __future__ import annotations

from pycontainerd.introspection.deprecations import Deprecation, Deprecations
from pycontainerd.introspection.health import HealthService
from pycontainerd.introspection.service import IntrospectionService
from pycontainerd.introspection.store import Introspection
from pycontainerd.introspection.version import VersionService
from pycontainerd.plugin import types
from pycontainerd.plugin.registration import Init, plugin
from pycontainerd.system.cgroup import is_unified

IDENTITY_FOLDER = "io.containerd.grpc.v1.introspection"


@plugin(types.WARNING, "deprecations")
async def deprecations(init: Init) -> Deprecations:
    """What the daemon warns of."""
    made = Deprecations(init.clock)
    if not is_unified():
        made.emit(Deprecation.CGROUP_V1)
    return made


@plugin(types.SERVICE, "introspection-service", requires=[types.WARNING])
async def introspection_service(init: Init) -> Introspection:
    """What the daemon tells of itself."""
    directory = init.root.with_name(IDENTITY_FOLDER)
    return Introspection(init.plugins, init.plugins.single(types.WARNING), directory, init.ids)


@plugin(types.GRPC, "introspection", requires=[types.SERVICE])
async def introspection(init: Init) -> IntrospectionService:
    """The service over it."""
    return IntrospectionService(init.plugins.by_id(types.SERVICE, "introspection-service"))


@plugin(types.GRPC, "version")
async def version(init: Init) -> VersionService:
    """Which version serves."""
    return VersionService()


@plugin(types.GRPC, "healthcheck")
async def healthcheck(init: Init) -> HealthService:
    """Whether it serves."""
    return HealthService()
