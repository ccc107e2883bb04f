"""Starting runc and logging programs from a shim.

glibc's posix_spawn shares our memory until the exec (0.6 ms); a fork copies our page tables and makes us fault on each
page afterwards (2 to 5 ms). But a program that is to die with us needs a prctl(2) between fork and exec. Where there is
a setpriv(1) that can do it, it is put in front (1.4 ms); else we fork, with as little as possible between.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from typing import Final, NoReturn

from pycontainerd.system import prctl
from pycontainerd.system.output import run

Tie = tuple[str, ...]
"""The command that ties the life of what follows it to ours; nothing: a fork does it."""

_TRY_S: Final = 10.0
_FAILED: Final = 127
_ABOVE: Final = 10
"""Descriptors from here on are overwritten by no placing."""


def find_tie() -> Tie:
    """The command, if this machine has one that works."""
    setpriv = shutil.which("setpriv", path="/usr/bin:/bin")
    if setpriv is None:
        return ()
    tie = (setpriv, "--pdeathsig", "KILL", "--")
    try:
        done = run([*tie, "/proc/self/exe", "--version"], timeout_s=_TRY_S)
    except (OSError, TimeoutError):
        return ()
    return tie if done.status == 0 else ()


def start(arguments: list[str], placed: Mapping[int, int], environment: Mapping[str, str], tie: Tie | None) -> int:
    """Starts the program whose path is the first argument, and returns its pid. The reaper reaps it.

    *placed* are its descriptors, by the number that they have there; the caller's are close-on-exec, so that it gets no
    others. With a *tie* it is killed when we end. Raises OSError if it can't be executed.
    """
    copies = [(number, fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _ABOVE)) for number, fd in placed.items()]
    try:
        if tie == ():
            return _fork(arguments, copies, environment)
        command = [*(tie or ()), *arguments]
        actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in copies]
        # Handlers end with the exec; SIGPIPE is ignored in Python, and would stay so.
        return os.posix_spawn(command[0], command, environment, file_actions=actions, setsigdef=[signal.SIGPIPE])
    finally:
        for _, fd in copies:
            os.close(fd)


def why(error: OSError) -> str:
    """The reason of *error* as the original words it: in lower case."""
    return (error.strerror or str(error)).lower()


def _fork(arguments: list[str], placed: Sequence[tuple[int, int]], environment: Mapping[str, str]) -> int:
    report, theirs = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    try:
        pid = os.fork()
        if not pid:
            _become(arguments, placed, environment, report=theirs, parent=parent)
        os.close(theirs)
        theirs = -1
        said = os.read(report, 16)
    finally:
        os.close(report)
        if theirs >= 0:
            os.close(theirs)
    if said:
        os.waitpid(pid, 0)
        number = int(said)
        raise OSError(number, os.strerror(number), arguments[0])
    return pid


def _become(
    arguments: list[str],
    placed: Sequence[tuple[int, int]],
    environment: Mapping[str, str],
    *,
    report: int,
    parent: int,
) -> NoReturn:
    try:
        prctl.set_parent_death_signal(signal.SIGKILL)
        if os.getppid() == parent:
            for number, fd in placed:
                os.dup2(fd, number)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.execve(arguments[0], arguments, environment)  # noqa: S606 - no shell is wanted
    except OSError as error:
        os.write(report, b"%d" % (error.errno or errno.EIO))
    finally:
        os._exit(_FAILED)
