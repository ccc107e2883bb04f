"""Warnings of features that will go: held in memory, told by `Introspection.Server`, printed by clients."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec import Struct

from pycontainerd.clock import Clock

PREFIX: Final = "io.containerd.deprecation/"


class Deprecation(StrEnum):
    """What is deprecated, by the id under `PREFIX` that clients suppress it with."""

    CGROUP_V1 = "cgroup-v1"


MESSAGES: Final = {
    Deprecation.CGROUP_V1: "The support for cgroup v1 is deprecated since containerd v2.2 and will be removed by no "
    "later than May 2029. Upgrade the host to use cgroup v2.",
}


class Warned(Struct, frozen=True):
    """A warning and when its reason was last seen, in nanoseconds since 1970."""

    id: str
    message: str
    last_ns: int


class Deprecations:
    """The warnings of this run of the daemon; each stands here once, with its latest time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seen: dict[Deprecation, int] = {}

    def emit(self, deprecation: Deprecation) -> None:
        """Records that *deprecation* is in use."""
        self._seen[deprecation] = self._clock.now_ns()

    def warnings(self) -> list[Warned]:
        return [Warned(PREFIX + key, MESSAGES[key], seen_ns) for key, seen_ns in self._seen.items()]
