"""A shim as a child of the spawner: what is warmed once, and what each shim does on its way to `serve`."""

from __future__ import annotations

import fcntl
import os
import socket
from typing import Final

from pycontainerd import faults
from pycontainerd.shim.demands import SCHED_CORE
from pycontainerd.shim.exec_fifo import KnownRuntimes
from pycontainerd.shim.journal import Journal
from pycontainerd.shim.messages import ShimRequest, decode
from pycontainerd.shim.rehearsal import rehearse
from pycontainerd.shim.server import Prepared, serve
from pycontainerd.shim.spawn import find_tie
from pycontainerd.spawner.gathering import gather
from pycontainerd.system import prctl
from pycontainerd.system.cgroup import Cgroup

_FOR_THE_DAEMON: Final = ("NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC")
"""What a service manager tells the daemon alone: runc would talk to its socket."""

_prepared: Prepared | None = None


def main(request: bytes, fds: list[int]) -> int:
    """As `serve_request`, but leaves at once if the bundle has a shim.

    A spawner that is killed before it can answer may have started one already when the next is asked.
    """
    wanted = decode(request)
    if _is_first(wanted.bundle):
        serve_request(wanted, fds)
    return 0


def serve_request(wanted: ShimRequest, fds: list[int]) -> None:
    """Runs a shim until it is no longer needed. *fds*: the listening socket, then the `log` fifo's writing end."""
    environment = {name: value for name, value in wanted.env.items() if name not in _FOR_THE_DAEMON}
    faults.arm(environment.get(faults.VARIABLE, ""))
    log_fd = fds[1] if len(fds) > 1 else -1
    if log_fd >= 0:
        os.set_blocking(log_fd, False)
        os.dup2(log_fd, 2)
    prctl.set_child_subreaper()
    if wanted.shim_cgroup:
        _join(wanted, log_fd)
    if environment.get(SCHED_CORE):
        prctl.new_core_scheduling_cookie()
    with socket.socket(fileno=fds[0]) as listening:
        serve(wanted, listening, log_fd, environment, _prepared or Prepared())


def _is_first(bundle: str) -> bool:
    """Whether no other shim was started for *bundle*; holds its directory as long as this process lives."""
    directory = os.open(bundle, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(directory)
        return False
    return True


def _join(wanted: ShimRequest, log_fd: int) -> None:
    """Joins the control group of the options. The daemon was told already that we serve: a failure is logged."""
    try:
        Cgroup.named(wanted.shim_cgroup).join()
    except OSError as error:
        Journal(log_fd, debug=False, fields={"id": wanted.id}).error(
            f"failed to join cgroup {wanted.shim_cgroup}: {error}"
        )


def warm() -> None:
    """Plays a shim's life through: nothing is left to be loaded once this has returned."""
    global _prepared  # noqa: PLW0603 - what is made before the fork can reach the child in no other way
    tie = find_tie()
    rehearse(plays=1)
    gather(lambda: rehearse(plays=1, tie=tie))
    rehearse(tie=tie)
    _prepared = Prepared(known=KnownRuntimes.learn(), tie=tie)
