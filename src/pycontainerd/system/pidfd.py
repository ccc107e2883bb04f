"""Processes by descriptor: no signal or wait ever meets a recycled number. See pidfd_open(2)."""

from __future__ import annotations

import os
import select
import signal


def open_pidfd(pid: int) -> int:
    """A descriptor of process *pid*, close-on-exec; readable when it has ended.

    Safe from reuse of the number only for a child that nobody has reaped yet. Raises ProcessLookupError.
    """
    return os.pidfd_open(pid)


def of_child(pid: int) -> int:
    """A descriptor of our child *pid*. If there can't be one, the child is killed and reaped: nobody could watch it."""
    try:
        return open_pidfd(pid)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise


def send_signal(pidfd: int, number: int) -> None:
    """Sends a signal; see pidfd_send_signal(2). Raises ProcessLookupError if it has ended and was reaped."""
    signal.pidfd_send_signal(pidfd, number)


def ended(pidfd: int) -> bool:
    """Whether the process has ended, be it our child or not."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def reap_nowait(pidfd: int) -> int | None:
    """The exit status of an ended child as shells count it (128 + signal), None while it runs. Reaps it.

    Raises ChildProcessError if it is no child of ours.
    """
    return _status(os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG))


def reap(pidfd: int) -> int:
    """Waits for a child and reaps it: its exit status, 128 + signal if one killed it."""
    status = _status(os.waitid(os.P_PIDFD, pidfd, os.WEXITED))
    assert status is not None  # noqa: S101 - without WNOHANG waitid has a result
    return status


def _status(info: os.waitid_result | None) -> int | None:
    if info is None:
        return None
    return info.si_status if info.si_code == os.CLD_EXITED else 128 + info.si_status
