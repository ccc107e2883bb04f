"""Warnings of what will go."""

from __future__ import annotations

from pycontainerd.introspection.deprecations import MESSAGES, Deprecation, Deprecations


class Clock:
    """A clock that a test sets."""

    now = 0

    def now_ns(self) -> int:
        return self.now

    def monotonic(self) -> float:
        return self.now / 1e9


def test_a_warning_stands_once_with_its_latest_time() -> None:
    clock = Clock()
    deprecations = Deprecations(clock)
    for now in (5, 9):
        clock.now = now
        deprecations.emit(Deprecation.CGROUP_V1)
    (told,) = deprecations.warnings()
    assert (told.id, told.last_ns) == ("io.containerd.deprecation/cgroup-v1", 9)
    assert "cgroup v1 is deprecated" in told.message


def test_every_deprecation_says_something() -> None:
    assert set(MESSAGES) == set(Deprecation)
