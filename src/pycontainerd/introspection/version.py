"""`containerd.services.version.v1.Version`."""

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty

from pycontainerd import version as own
from pycontainerd.api.containerd.services.version import v1_pb2 as version_pb2
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service


class VersionService(Service):
    """Tells which version serves."""

    contract = version_pb2.DESCRIPTOR.services_by_name["Version"]

    async def version(self, request: Empty, call: Call) -> version_pb2.VersionResponse:
        return version_pb2.VersionResponse(version=own.version(), revision=own.revision())
