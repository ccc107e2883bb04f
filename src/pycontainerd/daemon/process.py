"""What the daemon sets of its own process before its plugins start."""

from __future__ import annotations

import logging
import os
import signal
import sys
from typing import Final

from pycontainerd import faults
from pycontainerd.errors import NotFound
from pycontainerd.log import fields
from pycontainerd.system.title import set_title

_LOG: Final = logging.getLogger(__name__)

SWITCH_INTERVAL_S: Final = 0.0005
"""One computing thread took the p50 of a small call from 0.5 to 11 ms with Python's own interval, to 1.6 with this."""


def prepare() -> None:
    """Title, interval of threads, ignored signals, fault points."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    faults.arm(os.environ.get(faults.VARIABLE, ""))
    set_title([sys.argv[0], *sys.argv[1:]], name="containerd")


def set_oom_score(score: int) -> None:
    """Sets the score by which the kernel chooses what to kill; 0 leaves it. A refusal is logged."""
    if not score:
        return
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(str(score))
    except OSError as error:
        _LOG.error("failed to change OOM score to %d", score, extra=fields(error=error))


def join_cgroup(path: str) -> None:
    """Moves the daemon into the cgroup *path*; of version 1 it is made, of version 2 it must be there.

    Raises NotFound if it is not there, OSError if it can't be joined.
    """
    if not path:
        return
    from pycontainerd.system.cgroup import Cgroup

    group = Cgroup.named(path)
    if group.unified and not group.exists():
        raise NotFound(f"cgroup {path}, which the configuration names for the daemon")
    group.join()
