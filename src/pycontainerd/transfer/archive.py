"""An image archive that comes from a client, read by a worker: its bytes go in, its members come back."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from pycontainerd.errors import Error, Unknown
from pycontainerd.spawner.aio import Spawner, Worker, readable, writable
from pycontainerd.spawner.messages import Setting
from pycontainerd.system.pipes import End, pipe
from pycontainerd.transfer.archive_messages import Broken, Event, Frames, ReadRequest, encode_request

ROLE: Final = "import"

_PIPE: Final = 1 << 20


@asynccontextmanager
async def opened(spawner: Spawner, pieces: AsyncIterator[bytes], *, sniff: bool) -> AsyncIterator[AsyncIterator[Event]]:
    """The events of the archive that *pieces* are, the last one `End` or `Broken`. The worker ends with the block."""
    with pipe() as (source, feeding), pipe() as (frames, sink), pipe() as (watched, held):
        for end in (feeding, frames):
            fcntl.fcntl(end.fd, fcntl.F_SETPIPE_SZ, _PIPE)
            os.set_blocking(end.fd, False)
        fds = [source.fd, sink.fd, watched.fd]
        async with spawner.worker(ROLE, Setting.of_worker(ROLE), encode_request(ReadRequest(sniff)), fds) as worker:
            source.close()
            sink.close()
            feeder = _Feeder(pieces, feeding)
            try:
                async with asyncio.TaskGroup() as group:
                    task = group.create_task(feeder.run(), name="feed an archive")
                    try:
                        yield _events(worker, frames.fd, feeder)
                    finally:
                        task.cancel()
            except BaseExceptionGroup as group_of_one:
                raise group_of_one.exceptions[0] from None  # the block's: the feeder keeps its own
            finally:
                held.close()


class _Feeder:
    """Gives the worker what the client sends. *fault* is why it could not go on."""

    def __init__(self, pieces: AsyncIterator[bytes], end: End) -> None:
        self._pieces = pieces
        self._end = end
        self.fault: Error | None = None

    async def run(self) -> None:
        try:
            async for piece in self._pieces:
                await self._write(memoryview(piece))
        except BrokenPipeError:
            pass  # the worker has read all that it wants
        except Error as error:
            self.fault = error  # told by who comes to the place in the archive
        finally:
            self._end.close()

    async def _write(self, view: memoryview) -> None:
        while view:
            try:
                view = view[os.write(self._end.fd, view) :]
            except BlockingIOError:
                await writable(self._end.fd)


async def _events(worker: Worker, fd: int, feeder: _Feeder) -> AsyncIterator[Event]:
    frames = Frames()
    while True:
        try:
            data = os.read(fd, _PIPE)
        except BlockingIOError:
            await readable(fd)
            continue
        if not data:
            status = await worker.wait()
            raise Unknown(f"the worker that read the archive has ended with status {status} and no answer")
        for event in frames.feed(data):
            if isinstance(event, Broken) and feeder.fault is not None:
                raise feeder.fault
            yield event
