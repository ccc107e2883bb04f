"""The logging program: writes the same log for a shim that is not ours, which starts it for `binary://`.

    binary:///usr/bin/containerd-cri-log?path=/var/log/c.log&max-size=10485760&socket=/run/containerd/s/…

The shim hands over descriptor 3, the container's stdout, 4, its stderr, and 5, which says that we are ready. It lives
as long as somebody can write to 3 or 4; SIGTERM means: take what is there, and end. *socket*, if given, serves the
calls about the log (`service`).
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

from pycontainerd.errors import Error
from pycontainerd.rpc.service import ServiceTable
from pycontainerd.rpc.ttrpc.server import TtrpcServerConnection
from pycontainerd.shim import address
from pycontainerd.shim.coroutines import LoopTask, LoopWaiter
from pycontainerd.shim.logs.log import Log
from pycontainerd.shim.logs.record import STDERR, STDOUT
from pycontainerd.shim.logs.service import LogsService
from pycontainerd.shim.logs.target import LogTarget
from pycontainerd.shim.loop import Loop
from pycontainerd.shim.stdio import pump
from pycontainerd.shim.transport import Listener, remove_socket

SOURCES: Final = {STDOUT: 3, STDERR: 4}
READY: Final = 5


def main(arguments: Sequence[str]) -> int:
    """Runs the program on keys and values, one after the other: its exit code."""
    options = dict(zip(arguments[::2], arguments[1::2], strict=False))
    path, socket = options.pop("path", ""), options.pop("socket", "")
    loop = Loop(lambda name, error: _tell(f"{name}: {error!r}"))
    try:
        log = Log(loop, LogTarget.parse(path, options), SOURCES, _tell)
    except Error as error:
        _tell(error.message)
        return 1
    for fd in SOURCES.values():
        os.set_blocking(fd, False)
    loop.run(_logging(loop, log, socket))
    return 0


async def _logging(loop: Loop, log: Log, socket: str) -> None:
    over = loop.waiter()
    loop.watch_signals([signal.SIGTERM, signal.SIGINT], lambda number: over.set(None))
    with contextlib.ExitStack() as stack:
        if socket:
            _serve(loop, log, socket, stack)
        tasks = [loop.spawn(_taken(loop, log, name, fd), name=name) for name, fd in SOURCES.items()]
        loop.spawn(_tell_end(tasks, over), name="end")
        _say_ready()
        await over
        for task in tasks:
            task.cancel()
            await task.ended
        for name, fd in SOURCES.items():
            pump.take_ready(fd, functools.partial(log.write, name))  # nothing if it had ended
        log.close()


async def _taken(loop: Loop, log: Log, name: str, source: int) -> None:
    await pump.consume(loop, source, functools.partial(log.write, name))
    log.end(name)


async def _tell_end(tasks: Sequence[LoopTask], over: LoopWaiter) -> None:
    for task in tasks:
        await task.ended
    over.set(None)


def _serve(loop: Loop, log: Log, path: str, stack: contextlib.ExitStack) -> None:
    """Answers calls at *path*; a log without them is better than none."""
    try:
        listening = address.listen(path)
    except OSError as error:
        _tell(f"socket {path}: {error}")
        return
    if listening is None:
        _tell(f"socket {path}: served by another")
        return
    service = LogsService()
    service.serve(lambda id_, exec_id: log)  # the socket is this log's alone
    table = ServiceTable([service])
    listener = Listener(loop, listening, lambda: TtrpcServerConnection(table, loop, on_defect=loop.on_error))
    stack.callback(listener.close)
    stack.callback(remove_socket, path)


def _say_ready() -> None:
    with contextlib.suppress(OSError):  # nobody may wait for it
        os.write(READY, b"\n")
    os.close(READY)


def _tell(text: str) -> None:
    sys.stderr.write(f"containerd-cri-log: {text}\n")
