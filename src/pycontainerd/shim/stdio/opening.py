"""From the strings of a request to the streams of a process."""

from __future__ import annotations

from dataclasses import dataclass

from pycontainerd.shim.journal import Journal
from pycontainerd.shim.loop import Loop
from pycontainerd.shim.reaper import Reaper
from pycontainerd.shim.stdio import uri
from pycontainerd.shim.stdio.logger import Logger, LoggerStreams
from pycontainerd.shim.stdio.pipes import PipeStreams
from pycontainerd.shim.stdio.streams import Streams, creating
from pycontainerd.shim.stdio.terminal import TerminalStreams


@dataclass(frozen=True, slots=True)
class StreamOpener:
    """Opens streams for the processes of one container."""

    loop: Loop
    reaper: Reaper
    journal: Journal
    namespace: str
    uid: int
    gid: int
    runtime_directory: str
    """Where sockets for terminals may be made."""

    async def open(self, process: str, request: uri.Request) -> Streams:
        """Streams of the process of that id, ready to be handed to runc. Raises Unknown; nothing stays open then."""
        with creating():
            target = uri.parse_terminal(request.stdout) if request.terminal else uri.parse(request.stdout)
        logger = None
        if target.scheme in (uri.BINARY, uri.BINARY_V2):
            logger = Logger(self.loop, self.reaper, self.journal, target)
        streams: Streams | None = None
        try:
            if request.terminal:
                streams = terminal = TerminalStreams(self.loop, self.journal, request, logger, self.runtime_directory)
                await terminal.open(target, process, self.namespace)
            elif logger is not None:
                streams = logged = LoggerStreams(self.loop, self.journal, logger, self.uid, self.gid)
                await logged.open(process, self.namespace)
            elif request.is_null:
                streams = Streams(self.loop, self.journal)
            else:
                streams = piped = PipeStreams(self.loop, self.journal, request, self.uid, self.gid)
                piped.open(target)
        except BaseException:
            if streams is not None:
                await streams.close()
            raise
        return streams
