"""The restart monitor of our daemon and of the stock one: the same labels lead to the same tasks.

How soon is another matter (`restarts-at-exit` in `docs/differences.md`).
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import IMAGE
from tests.harness import peers
from tests.harness.daemon import OURS, STOCK, Daemon, Kind
from tests.harness.waiting import LIMIT_S, until

CONFIG = "[plugins.'io.containerd.monitor.container.v1.restart']\n  interval = '1s'"
PREFIX = "containerd.io/restart."

Outcome = tuple[str, str]
"""The state of a task, if there is one, and the label that counts its restarts."""


class Watched:
    """A daemon, and what its restart monitor makes of containers."""

    def __init__(self, daemon: Daemon, events: Path) -> None:
        self.daemon = daemon
        self._events = events

    def add(self, id_: str, *command: str, **labels: str) -> None:
        """A container whose task runs, and that the monitor does not look at yet."""
        self.daemon.run("-d", *self._labels(labels), IMAGE, id_, *command)

    def add_without_task(self, id_: str, **labels: str) -> None:
        runc_root = ("--runc-root", self.daemon.base / "runc")
        self.daemon.ctr("containers", "create", *runc_root, *self._labels(labels), IMAGE, id_, "/bin/sleep", "1000")

    def label(self, id_: str, **labels: str) -> None:
        words = [f"{PREFIX}{key.replace('_', '-')}={value}" for key, value in labels.items()]
        self.daemon.ctr("containers", "label", id_, *words)

    def kill(self, id_: str) -> None:
        self.daemon.ctr("tasks", "kill", "-s", "KILL", "--all", id_)

    def outcomes(self) -> dict[str, Outcome]:
        """What has become of all containers."""
        states = {words[0]: words[2] for words in map(str.split, self.daemon.ctr("tasks", "ls").lines[1:])}
        found = {}
        for id_ in self.daemon.ctr("containers", "ls", "-q").lines:
            labels = json.loads(self.daemon.ctr("containers", "info", id_).out)["Labels"]
            found[id_] = states.get(id_, ""), labels.get(f"{PREFIX}count", "")
        return found

    def topics(self, id_: str) -> list[str]:
        """What was told of a container and its task until the second restart, in order.

        Without deletions: a shim of the original may end before it has told one.
        """
        mine = (f'"container_id":"{id_}"', f'"id":"{id_}"')

        def told() -> list[str]:
            lines = [line.split(" ", 6)[5:] for line in self._events.read_text().splitlines()]
            return [topic for topic, event in lines if any(name in event for name in mine) and topic != "/tasks/delete"]

        until(lambda: told().count("/tasks/create") >= 3, f"the second restart of {id_} is told")
        topics = told()
        third = [place for place, topic in enumerate(topics) if topic == "/tasks/create"][2]
        return topics[: third + 1]

    def until_heard(self) -> None:
        """Returns when events come in: the subscription has no answer of its own."""

        def heard() -> bool:
            self.daemon.ctr("namespaces", "label", self.daemon.namespace, "probe=again")
            return bool(self._events.read_text())

        self.daemon.ctr("namespaces", "create", self.daemon.namespace, check=False)
        until(heard, "events come in")

    def until(self, what: Callable[[dict[str, Outcome]], bool]) -> None:
        """Returns when *what* is true of the outcomes."""
        until = time.monotonic() + LIMIT_S
        while not what(self.outcomes()):
            assert time.monotonic() < until, f"{self.outcomes()}\n{self.daemon.tail()}"

    @staticmethod
    def _labels(labels: dict[str, str]) -> list[str]:
        return [word for key, value in labels.items() for word in ("--label", f"{PREFIX}{key}={value}")]


@contextmanager
def watched(kind: Kind, base: Path, archive: Path) -> Iterator[Watched]:
    with Daemon.start(kind, base / "d", config=CONFIG) as daemon:
        daemon.ctr("images", "import", archive)
        events = daemon.base / "events"
        with events.open("wb") as file:
            command = [str(peers.STOCK / "ctr"), "events"]
            listener = subprocess.Popen(command, env=daemon.env(), stdout=file, stderr=subprocess.DEVNULL)
            at = Watched(daemon, events)
            try:
                at.until_heard()
                yield at
                for id_ in at.outcomes():
                    at.label(id_, status="")  # or the monitor would bring back what is cleared away
            finally:
                listener.kill()
                listener.wait()


def story(at: Watched) -> dict[str, Outcome]:
    """Lets the monitor deal with a container of each kind: what has become of them."""
    log = at.daemon.base / "log-of-l"
    at.add("always", "/bin/sleep", "1000", policy="always")
    at.add("unnamed", "/bin/sleep", "1000")
    at.add("twice", "/bin/sh", "-c", "exit 3", policy="on-failure:2")
    at.add("well", "/bin/true", policy="on-failure")
    at.add("never", "/bin/sleep", "1000", policy="no")
    at.add("nonsense", "/bin/sleep", "1000", policy="sometimes")
    at.add("explicit", "/bin/sleep", "1000", policy="unless-stopped", **{"explicitly-stopped": "true"})
    at.add("unless", "/bin/sleep", "1000", policy="unless-stopped")
    at.add("unwanted", "/bin/sleep", "1000")
    at.add("paused", "/bin/sleep", "1000")
    at.add("logged", "/bin/sh", "-c", "echo hello; exec sleep 1000", loguri=f"file://{log}", count="4")
    at.add_without_task("fresh")
    at.add_without_task("idle", policy="on-failure")
    at.daemon.ctr("tasks", "pause", "paused")
    for id_ in ("always", "unnamed", "never", "nonsense", "explicit", "unless", "logged"):
        at.kill(id_)
    for id_ in at.outcomes():
        at.label(id_, status="stopped" if id_ == "unwanted" else "running")
    expected = {
        "always": ("RUNNING", "1"),
        "unnamed": ("RUNNING", "1"),
        "twice": ("STOPPED", "2"),
        "unless": ("RUNNING", "1"),
        "logged": ("RUNNING", "5"),
        "fresh": ("RUNNING", "1"),
        "unwanted": ("", ""),
    }
    at.until(lambda outcomes: expected.items() <= outcomes.items())
    until(lambda: log.read_text() == "hello\n", "the second task has written to its log")
    at.kill("always")
    at.until(lambda outcomes: outcomes["always"] == ("RUNNING", "2"))
    return at.outcomes()


@pytest.fixture(scope="module")
def original(session_base: Path, busybox_archive: Path) -> tuple[dict[str, Outcome], list[str]]:
    with watched(STOCK, session_base / "rs", busybox_archive) as at:
        return story(at), at.topics("always")


def test_labels_mean_what_they_mean_to_the_original(
    scratch: Path, busybox_archive: Path, original: tuple[dict[str, Outcome], list[str]]
) -> None:
    with watched(OURS, scratch, busybox_archive) as at:
        assert story(at) == original[0]
        assert at.topics("always") == original[1]
