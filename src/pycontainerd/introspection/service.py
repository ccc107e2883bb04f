"""`containerd.services.introspection.v1.Introspection`; needs no namespace."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

from google.protobuf import descriptor_pool
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.introspection import v1_pb2 as introspection_pb2
from pycontainerd.errors import InvalidArgument, Unknown
from pycontainerd.introspection.store import Introspection
from pycontainerd.metadata import filters
from pycontainerd.oci import platforms
from pycontainerd.plugin.registration import Started
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service
from pycontainerd.rpc.status import to_status

_UNKNOWN: Final = 2


class IntrospectionService(Service):
    """Tells clients which plugins there are and whether they started, and who the daemon is."""

    contract = introspection_pb2.DESCRIPTOR.services_by_name["Introspection"]

    def __init__(self, introspection: Introspection) -> None:
        self._introspection = introspection

    async def plugins(self, request: introspection_pb2.PluginsRequest, call: Call) -> introspection_pb2.PluginsResponse:
        try:
            wanted = filters.compile(request.filters)
        except InvalidArgument as error:
            # The original wraps its own error once more; clients read the end.
            raise InvalidArgument(f"invalid argument: {error.message}") from error
        found = [started for started in self._introspection.plugins() if wanted.matches(_Fields(started))]
        return introspection_pb2.PluginsResponse(plugins=[_to_wire(started) for started in found])

    async def server(self, request: Empty, call: Call) -> introspection_pb2.ServerResponse:
        response = introspection_pb2.ServerResponse(
            uuid=await self._introspection.server_uuid(),
            pid=os.getpid(),
            pidns=os.stat("/proc/self/ns/pid").st_ino,
        )
        for warning in self._introspection.warnings():
            told = response.deprecations.add(id=warning.id, message=warning.message)
            told.last_occurrence.FromNanoseconds(warning.last_ns)
        return response

    async def plugin_info(
        self, request: introspection_pb2.PluginInfoRequest, call: Call
    ) -> introspection_pb2.PluginInfoResponse:
        options = request.options if request.HasField("options") else None
        if options is not None:
            _check_type(options)
        started, extra = await self._introspection.plugin_info(request.type, request.id, options)
        return introspection_pb2.PluginInfoResponse(plugin=_to_wire(started), extra=extra)


class _Fields:
    """A plugin as filters see it: `type` and `id`."""

    __slots__ = ("_started",)

    def __init__(self, started: Started) -> None:
        self._started = started

    def field(self, path: Sequence[str]) -> tuple[str, bool]:
        registration = self._started.registration
        value = {"type": registration.type, "id": registration.id}.get(".".join(path), "")
        return value, bool(value)


def _to_wire(started: Started) -> introspection_pb2.Plugin:
    registration, init = started.registration, started.init
    plugin = introspection_pb2.Plugin(
        type=registration.type,
        id=registration.id,
        requires=registration.requires,
        platforms=[_platform(text) for text in init.platforms],
        exports=init.exports,
        capabilities=init.capabilities,
    )
    if started.error is not None:
        status = to_status(started.error)
        plugin.init_err.code = _UNKNOWN if started.skipped else int(status.code)
        plugin.init_err.message = str(started.error)
    return plugin


def _platform(text: str) -> types_pb2.Platform:
    platform = platforms.parse(text)
    return types_pb2.Platform(os=platform.os, architecture=platform.architecture, variant=platform.variant)


def _check_type(options: AnyMessage) -> None:
    """Raises Unknown for a type that no plugin of this daemon reads, before the plugin is looked for."""
    try:
        descriptor_pool.Default().FindMessageTypeByName(options.TypeName())
    except KeyError:
        raise Unknown(f"failed to unmarshal plugin info Options: type with url {options.type_url}: not found") from None
