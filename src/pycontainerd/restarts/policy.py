"""What the labels of a container ask for (runtime-shim.md §11)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Self

from msgspec import Struct

from pycontainerd.errors import InvalidArgument

STATUS: Final = "containerd.io/restart.status"
POLICY: Final = "containerd.io/restart.policy"
LOG_URI: Final = "containerd.io/restart.loguri"
COUNT: Final = "containerd.io/restart.count"
EXPLICITLY_STOPPED: Final = "containerd.io/restart.explicitly-stopped"

RUNNING: Final = "running"
STOPPED: Final = "stopped"

NO: Final = "no"
ALWAYS: Final = "always"
ON_FAILURE: Final = "on-failure"
UNLESS_STOPPED: Final = "unless-stopped"
NAMES: Final = (NO, ALWAYS, ON_FAILURE, UNLESS_STOPPED)

_NUMBER: Final = re.compile(r"[+-]?[0-9]+")
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})


class Policy(Struct, frozen=True):
    """When to start a task anew. *retries* is how often after failures; 0: always."""

    name: str = ALWAYS
    retries: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """The policy that *text* writes, `always` if it is empty. Raises InvalidArgument, as the original words it."""
        name, colon, rest = text.partition(":")
        if name == ON_FAILURE:
            if not colon:
                return cls(name)
            retries = rest.partition(":")[0]
            if not _NUMBER.fullmatch(retries):
                raise InvalidArgument(f"invalid max retry count: {retries}", bare=True)
            return cls(name, int(retries))
        if name not in ("", *NAMES):
            raise InvalidArgument(f'restart policy "{text}" not supported', bare=True)
        if colon:
            raise InvalidArgument(f'restart policy "{name}" not supported max retry count', bare=True)
        return cls(name or ALWAYS)


def wants_start(labels: Mapping[str, str], exit_status: int) -> bool:
    """Whether a task that does not run is to be started. *exit_status* is 0 if there is none.

    Raises InvalidArgument for a policy or a count that is none.
    """
    policy = Policy.parse(labels.get(POLICY, ""))
    match policy.name:
        case "on-failure":
            return exit_status != 0 and (policy.retries == 0 or _count(labels) < policy.retries)
        case "unless-stopped":
            return labels.get(EXPLICITLY_STOPPED, "") not in _TRUE
        case name:
            return name == ALWAYS


def next_count(labels: Mapping[str, str]) -> int:
    """How many restarts there are with the next; what is no number counts as none."""
    text = labels.get(COUNT, "")
    return (int(text) if _NUMBER.fullmatch(text) else 0) + 1


def _count(labels: Mapping[str, str]) -> int:
    text = labels.get(COUNT, "")
    if text and not _NUMBER.fullmatch(text):
        raise InvalidArgument(f"restart count {text} is no number")
    return int(text or 0)
