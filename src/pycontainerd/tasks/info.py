"""What the task plugin tells of runtimes through `Introspection.PluginInfo` (plugins.md §4)."""

from __future__ import annotations

from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError

from pycontainerd.api.containerd.types_pb2 import RuntimeRequest
from pycontainerd.errors import InvalidArgument
from pycontainerd.runtime.model import Payload
from pycontainerd.tasks.store import DEFAULT_RUNTIME, Tasks


class InformativeTasks(Tasks):
    """The tasks, as an instance of a plugin that can be asked about runtimes."""

    async def plugin_info(self, options: Any) -> AnyMessage:
        """The `RuntimeInfo` of the runtime that the `RuntimeRequest` in *options* names; by default, runc's.

        Raises InvalidArgument for options of another type, Unknown if the shim can't tell.
        """
        request = _request(options)
        given = Payload(request.options.type_url, request.options.value) if request.HasField("options") else None
        info = await self.runtime_info(request.runtime_path or DEFAULT_RUNTIME, given)
        return AnyMessage(type_url=info.DESCRIPTOR.full_name, value=info.SerializeToString())


def _request(options: Any) -> RuntimeRequest:
    if options is None or not options.type_url:
        return RuntimeRequest()
    if options.type_url.rpartition("/")[2] != RuntimeRequest.DESCRIPTOR.full_name:
        raise InvalidArgument(f"unknown type of runtime request: {options.type_url}")
    try:
        return RuntimeRequest.FromString(options.value)
    except DecodeError as error:
        raise InvalidArgument(f"runtime request: {error}") from error
