"""What a shim is to run in, looked at before it is made: where it can't be had, there is no shim.

Nearly always nothing is asked for, and nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SCHED_CORE: Final = "SCHED_CORE"
"""The variable that asks for a group of its own in core scheduling, whatever it says."""


def check(environment: Mapping[str, str], shim_cgroup: str) -> None:
    """Raises Unknown, in the words of the original."""
    if environment.get(SCHED_CORE):
        _check_core_scheduling()
    if shim_cgroup:
        _check_cgroup(shim_cgroup)


def _check_core_scheduling() -> None:
    from pycontainerd.errors import Unknown
    from pycontainerd.system.prctl import get_core_scheduling_cookie

    try:
        get_core_scheduling_cookie()
    except OSError as error:
        raise Unknown(f"enable sched core support: {(error.strerror or '').lower()}") from error


def _check_cgroup(path: str) -> None:
    from pycontainerd.errors import Unknown
    from pycontainerd.system.cgroup import Cgroup

    if not Cgroup.named(path).exists():
        raise Unknown(f"failed to load cgroup {path}: cgroups: cgroup deleted")
