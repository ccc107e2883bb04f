"""Starting runc and logging programs from a shim: a fork with as little as possible between it and the exec.

A shim is small and has no threads, so it may fork. All that the child needs is made before: what a child touches is
copied, and what it takes, the caller waits. (`system.process.start` does more, and takes half as long again.)
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from pycontainerd.system import prctl

_FAILED: Final = 127
_ABOVE: Final = 10
"""Descriptors from here on are overwritten by no placing."""


def start(
    arguments: list[str], placed: Mapping[int, int], environment: Mapping[str, str], *, dies_with_us: bool
) -> int:
    """Starts the program whose path is the first argument, and returns its pid. The reaper reaps it.

    *placed* are its descriptors, by the number that they have there; the caller's are close-on-exec, so that it gets no
    others. Raises OSError if it can't be executed.
    """
    report, theirs = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid() if dies_with_us else 0
    try:
        above = [(number, fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _ABOVE)) for number, fd in placed.items()]
        try:
            pid = os.fork()
            if not pid:
                _become(arguments, above, environment, report=theirs, parent=parent)
        finally:
            for _, fd in above:
                os.close(fd)
            os.close(theirs)
        said = os.read(report, 16)
    finally:
        os.close(report)
    if said:
        os.waitpid(pid, 0)
        number = int(said)
        raise OSError(number, os.strerror(number), arguments[0])
    return pid


def why(error: OSError) -> str:
    """The reason of *error* as the original words it: in lower case."""
    return (error.strerror or str(error)).lower()


def _become(
    arguments: list[str],
    placed: Sequence[tuple[int, int]],
    environment: Mapping[str, str],
    *,
    report: int,
    parent: int,
) -> NoReturn:
    try:
        if parent:
            prctl.set_parent_death_signal(signal.SIGKILL)
        if not parent or os.getppid() == parent:
            for number, fd in placed:
                os.dup2(fd, number)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # which Python ignores; handlers end with the exec
            os.execve(arguments[0], arguments, environment)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(report, b"%d" % (error.errno or errno.EIO))
    finally:
        os._exit(_FAILED)
