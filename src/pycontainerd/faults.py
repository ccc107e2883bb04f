"""Named points at which tests stop, fail or kill a process: the one place where the names are registered.

A point costs a truth test while nothing is armed. Each process arms what `PYCONTAINERD_FAULT` names where it starts,
as in `content.commit.renamed:kill`; the action is `kill` (SIGKILL to itself), `fail` (an OSError) or `stop` (SIGSTOP).

In place of a name may stand a directory, as in `/run/points:stop`: it has a file for each point that is meant. The
first process that comes to one does the action, and leaves the file under the name `<point>@<its pid>`.
"""

from __future__ import annotations

import contextlib
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
    match _armed.get(name) or _taken(name):
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "fail":
            raise OSError(errno.EIO, f"fault point {name}")
        case _:
            return


def _taken(name: str) -> str | None:
    """The action of the directory that has a file for the point *name*, which no other process has taken."""
    for place, action in _armed.items():
        if place.startswith("/"):
            file = os.path.join(place, name)
            with contextlib.suppress(FileNotFoundError):
                os.rename(file, f"{file}@{os.getpid()}")
                return action
    return None
