"""Making the process of a shim: by the spawner, or, where there can be none, out of the calling process."""

from __future__ import annotations

import contextlib
import os
import socket

from pycontainerd import faults
from pycontainerd.errors import Error
from pycontainerd.shim.messages import ShimRequest, encode
from pycontainerd.spawner.messages import Setting, soft_limits

faults.declare("shim.spawner")

OOM_RAISE = 1
"""A shim is a little more likely to be killed than its daemon."""


def launch(request: ShimRequest, listening: socket.socket, socket_dir: str) -> None:
    """Leaves a shim behind that serves *listening*. Raises OSError."""
    from pycontainerd.spawner.client import BlockingClient

    setting = Setting(
        environment=None,  # the request has it
        directory=request.bundle,
        title=tuple(request.arguments),
        oom_raise=OOM_RAISE,
        soft_limits=soft_limits(),
    )
    fds = [listening.fileno()]
    log = open_log(request.bundle)
    if log >= 0:
        fds.append(log)
    try:
        faults.arm(os.environ.get(faults.VARIABLE, ""))
        faults.reach("shim.spawner")
        with BlockingClient(socket_dir) as spawner:
            child = spawner.start_shim(setting, encode(request), fds)
            os.close(child.pidfd)
    except (OSError, Error):
        _fork(setting, request, fds)
    finally:
        if log >= 0:
            os.close(log)


def open_log(bundle: str) -> int:
    """The writing end of the daemon's fifo for the shim's log, -1 if nobody reads it."""
    try:
        return os.open(os.path.join(bundle, "log"), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return -1


def _fork(setting: Setting, request: ShimRequest, fds: list[int]) -> None:
    """A shim of its own memory (16 MB instead of 3), as a child of init: where no spawner can be started."""
    from pycontainerd.shim import child as shim
    from pycontainerd.shim.rehearsal import rehearse
    from pycontainerd.spawner import child

    rehearse(plays=1)  # loads all; there is nobody to share pages with
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        return
    with contextlib.suppress(OSError):
        if os.fork() == 0:
            _forget_stdio()
            child.run(shim.main, setting, encode(request), fds)
    os._exit(0)


def _forget_stdio() -> None:
    """The daemon reads our stdout and stderr to their end: the shim must not hold them."""
    null = os.open("/dev/null", os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
