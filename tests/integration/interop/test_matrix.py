"""Every combination of our programs and the original's does the same: {daemon} x {shim} x {ctr}.

One list of scenarios is done at each of the eight; the notes are compared with those of the original's three programs.
Where they may differ, the difference is one of `docs/differences.md`, named here with the combinations that it is of.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.daemon import OURS, STOCK, Daemon, Kind, remove_cgroups_of
from tests.harness.differences import deliberate
from tests.integration.interop.desk import Combination, Desk
from tests.integration.interop.scenarios import (
    RESTARTS,
    SCENARIOS,
    Scenario,
    a_task_ends_while_there_is_no_daemon,
    leftovers,
)

QUIET = {"CONTAINERD_SUPPRESS_DEPRECATION_WARNINGS": "1"}
COMBINATIONS = [Combination(*kinds) for kinds in itertools.product((STOCK, OURS), repeat=3)]
BASELINE = COMBINATIONS[0]

Done = dict[Combination, Desk]


@contextmanager
def desks(base: Path, daemon_kind: Kind, shim: Kind, archive: Path) -> Iterator[list[Desk]]:
    """A daemon, and a desk for each ctr, with a namespace of its own that has the image."""
    namespaces = []
    try:
        with Daemon.start(daemon_kind, base, shims=shim, environment=QUIET) as daemon:
            made = []
            for kind in (STOCK, OURS):
                desk = Desk(Combination(daemon_kind, shim, kind), daemon, f"{daemon.namespace}-{kind}")
                namespaces.append(desk.namespace)
                assert desk.ask("images", "import", archive).code == 0
                made.append(desk)
            yield made
    finally:
        for namespace in namespaces:
            clear(namespace)


def clear(namespace: str) -> None:
    """Removes what is left for a namespace itself."""
    remove_cgroups_of(namespace)
    # ctr gives a runtime that is named by its path no options, so that runc's state is at its default place.
    default = Path("/run/containerd/runc", namespace)
    if default.exists():
        default.rmdir()


def done_at(desk: Desk, scenarios: tuple[Scenario, ...]) -> None:
    for scenario in scenarios:
        desk.scenario = scenario.__name__
        scenario(desk)


def pair(base: Path, daemon: Kind, shim: Kind, archive: Path) -> Done:
    """Both desks of a daemon, when all is done."""
    with desks(base, daemon, shim, archive) as both:
        for desk in both:
            with desk.events() as events:
                done_at(desk, SCENARIOS)
            desk.notes["events"] = [event for event in events if not event.startswith("/tasks/delete")]
            desk.deletions = [event for event in events if event.startswith("/tasks/delete")]
            done_at(desk, RESTARTS)
            desk.notes["leftovers"] = leftovers(desk)
    return {desk.combination: desk for desk in both}


@pytest.fixture(scope="module")
def done(session_base: Path, busybox_archive: Path) -> Done:
    """All desks, when all is done; the four daemons are asked at the same time."""
    with ThreadPoolExecutor(4) as pool:
        pairs = [
            pool.submit(pair, session_base / f"interop-{daemon}-{shim}", daemon, shim, busybox_archive)
            for daemon, shim in itertools.product((STOCK, OURS), repeat=2)
        ]
        return {combination: found for each in pairs for combination, found in each.result().items()}


def same(of_baseline: list[str]) -> list[str]:
    return of_baseline


def exits_are_kept(of_baseline: list[str]) -> list[str]:
    """The task that ended meanwhile is there, and tells its code."""
    run, _, removed = of_baseline
    listed = "tasks ls: exit 0\nTASK  PID  STATUS\nc  PID  STOPPED\n"
    return [run, listed, "attach c: exit 44\n", removed]


def no_socket(of_baseline: list[str]) -> list[str]:
    return [line for line in of_baseline if line != "socket"]


DIFFERENCES: dict[str, tuple[str, Callable[[list[str]], list[str]]]] = {
    a_task_ends_while_there_is_no_daemon.__name__: ("exits-kept", exits_are_kept),
    "leftovers": ("dead-shim-sockets-removed", no_socket),
}
"""Where our daemon differs, whatever the shim and ctr: the name of the difference, and what is noted then."""


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_all_do_the_same(done: Done, combination: Combination) -> None:
    baseline, found = done[BASELINE].notes, done[combination].notes
    for scenario, noted in found.items():
        name, changed = DIFFERENCES.get(scenario, ("", same))
        if name and combination.daemon is OURS:
            expected = changed(baseline[scenario])
            assert deliberate(name)
        else:
            expected = baseline[scenario]
        assert noted == expected, f"{combination}: {scenario}"


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_deletions_are_told(done: Done, combination: Combination) -> None:
    """Each task that was made is told to be deleted, once; with the original's daemon some may be lost."""
    made = sum(event.startswith("/tasks/create") for event in done[combination].notes["events"])
    told = len(done[combination].deletions)
    if combination.daemon is OURS and deliberate("ends-told-once"):
        assert told == made
    else:
        assert told <= made
