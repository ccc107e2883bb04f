"""The calls about logs: `pycontainerd.services.logs.v1.Logs`, over whatever finds the log of a process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Final

from google.protobuf.empty_pb2 import Empty

from pycontainerd.api.pycontainerd.services.logs import v1_pb2 as logs_pb2
from pycontainerd.rpc.call import Call
from pycontainerd.rpc.service import Service
from pycontainerd.shim.logs.log import Log
from pycontainerd.shim.logs.record import STDERR, STDOUT

Find = Callable[[str, str], Log]
"""The log of a process, by container and exec id. Raises NotFound, FailedPrecondition."""

_SOURCES: Final = {STDOUT: logs_pb2.STDOUT, STDERR: logs_pb2.STDERR}


class LogsService(Service):
    """Lets callers read along, and begins files anew."""

    contract = logs_pb2.DESCRIPTOR.services_by_name["Logs"]
    _find: Find

    def serve(self, find: Find) -> None:
        """Serves the logs that *find* finds; until then no call may come."""
        self._find = find

    async def follow(self, request: logs_pb2.FollowRequest, call: Call) -> AsyncIterator[logs_pb2.Output]:
        followers = self._find(request.id, request.exec_id).followers
        follower = followers.join(request.backlog)
        try:
            yield logs_pb2.Output()
            while (piece := await follower.next()) is not None:
                stream, data = piece
                yield logs_pb2.Output(source=_SOURCES[stream], data=data)
        finally:
            followers.leave(follower)

    async def reopen(self, request: logs_pb2.ReopenRequest, call: Call) -> Empty:
        self._find(request.id, request.exec_id).reopen()
        return Empty()
