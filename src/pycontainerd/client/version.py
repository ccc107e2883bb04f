"""The version of a daemon."""

from __future__ import annotations

from typing import Final

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.containerd.services.version import v1_pb2 as version_pb2
from pycontainerd.client.session import Api
from pycontainerd.rpc.service import methods_of

_METHODS: Final = methods_of(version_pb2.DESCRIPTOR.services_by_name["Version"])


class Version(Api):
    """The version service."""

    __slots__ = ()

    async def get(self) -> version_pb2.VersionResponse:
        """Version and revision of the daemon."""
        reply: version_pb2.VersionResponse = await self._session.unary(_METHODS["version"], Empty())
        return reply
