"""Named points at which tests stop, fail or kill a process: the one place where the names are registered.

A point costs a truth test while nothing is armed. Each process arms what `PYCONTAINERD_FAULT` names where it starts,
as in `content.commit.renamed:kill`; the action is `kill` (SIGKILL to itself), `fail` (an OSError) or `stop` (SIGSTOP).
"""

from __future__ import annotations

import errno
import os
import signal
from typing import Final

VARIABLE: Final = "PYCONTAINERD_FAULT"

_points: Final[set[str]] = set()
_armed: Final[dict[str, str]] = {}


def declare(*names: str) -> None:
    """Registers points; called where they are, when the module is imported."""
    _points.update(names)


def points(prefix: str = "") -> list[str]:
    """The registered points whose names begin with *prefix*, sorted."""
    return sorted(name for name in _points if name.startswith(prefix))


def arm(specification: str) -> None:
    """Arms `name:action[,name:action]`; an unknown name is refused where it is reached too late to notice."""
    for part in filter(None, specification.split(",")):
        name, _, action = part.rpartition(":")
        _armed[name] = action


def reach(name: str) -> None:
    """Does what is armed for the point *name*; nothing by default. Raises OSError for `fail`."""
    if not _armed:
        return
    match _armed.get(name):
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "fail":
            raise OSError(errno.EIO, f"fault point {name}")
        case _:
            return
