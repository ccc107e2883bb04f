"""Introspection: the plugins of a daemon, and the daemon itself."""

from __future__ import annotations

from typing import Final

from google.protobuf.any_pb2 import Any
from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.containerd.services.introspection import v1_pb2 as introspection_pb2
from pycontainerd.client.session import Api
from pycontainerd.rpc.service import methods_of

_METHODS: Final = methods_of(introspection_pb2.DESCRIPTOR.services_by_name["Introspection"])


class Introspection(Api):
    """What a daemon says of itself."""

    __slots__ = ()

    async def server(self) -> introspection_pb2.ServerResponse:
        """Its identity, its pid, and which deprecated features were used."""
        reply: introspection_pb2.ServerResponse = await self._session.unary(_METHODS["server"], Empty())
        return reply

    async def plugins(self, *filters: str) -> list[introspection_pb2.Plugin]:
        """The plugins that one of *filters* matches, all without a filter, in the order in which they were
        started.
        """
        request = introspection_pb2.PluginsRequest(filters=filters)
        reply: introspection_pb2.PluginsResponse = await self._session.unary(_METHODS["plugins"], request)
        return list(reply.plugins)

    async def plugin_info(
        self, plugin_type: str, plugin_id: str, options: Any | None = None
    ) -> introspection_pb2.PluginInfoResponse:
        """What a plugin says of itself when asked with *options*. Raises NotFound, Unimplemented."""
        request = introspection_pb2.PluginInfoRequest(type=plugin_type, id=plugin_id, options=options)
        reply: introspection_pb2.PluginInfoResponse = await self._session.unary(_METHODS["plugin_info"], request)
        return reply
