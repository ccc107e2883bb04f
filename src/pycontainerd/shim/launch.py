"""Making the process of a shim where no spawner runs yet: by one that is started, or, where none can be started, out of
the calling process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from pycontainerd import faults
from pycontainerd.errors import Error
from pycontainerd.spawner.messages import Setting, soft_limits

faults.declare("shim.spawner")


def launch(
    request: bytes, fds: Sequence[int], *, directory: str, title: Sequence[str], oom_raise: int, socket_dir: str
) -> None:
    """Leaves a shim behind that serves the first of *fds*. Raises OSError."""
    from pycontainerd.spawner.client import BlockingClient

    setting = Setting(
        environment=None,  # the request has it
        directory=directory,
        title=tuple(title),
        oom_raise=oom_raise,
        soft_limits=soft_limits(),
    )
    try:
        faults.arm(os.environ.get(faults.VARIABLE, ""))
        faults.reach("shim.spawner")
        with BlockingClient(socket_dir) as spawner:
            child = spawner.start_shim(setting, request, fds)
            os.close(child.pidfd)
    except (OSError, Error):
        _fork(setting, request, fds)


def _fork(setting: Setting, request: bytes, fds: Sequence[int]) -> None:
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
            child.run(shim.main, setting, request, fds)
    os._exit(0)


def _forget_stdio() -> None:
    """The daemon reads our stdout and stderr to their end: the shim must not hold them."""
    null = os.open("/dev/null", os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
