"""`ctr events`, beside the original on one daemon: the same events in the same words."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import IMAGE
from tests.harness.daemon import OURS, STOCK, Daemon, Kind

PATIENCE_S = 30


@pytest.fixture(scope="module", params=[STOCK, OURS], ids=str)
def daemon(request: pytest.FixtureRequest, session_base: Path) -> Iterator[Daemon]:
    with Daemon.start(request.param, session_base / f"ctr-events-{request.param}") as started:
        yield started


class Listener:
    """`ctr events`, running."""

    def __init__(self, daemon: Daemon, program: Kind, *filters: str) -> None:
        command = [str(program.program("ctr")), "events", *filters]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=daemon.env())
        self.text = ""

    def lines_until(self, marker: str) -> list[str]:
        """What it prints up to a line that has *marker*."""
        assert self.process.stdout is not None
        until = time.monotonic() + PATIENCE_S
        while marker not in self.text or not self.text.endswith("\n"):
            assert select.select([self.process.stdout], [], [], max(0, until - time.monotonic()))[0], self.text
            self.text += os.read(self.process.stdout.fileno(), 65536).decode()
        lines, self.text = self.text.splitlines(), ""
        return lines

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


def test_both_print_what_happens(daemon: Daemon, busybox_archive: Path) -> None:
    with ExitStack() as stack:
        listeners = [Listener(daemon, program) for program in (STOCK, OURS)]
        for listener in listeners:
            stack.callback(listener.close)
            hear(daemon, listener)
        daemon.ctr("namespaces", "create", f"{daemon.namespace}-x", "a=<b>")
        daemon.ctr("images", "import", busybox_archive)
        daemon.run("--null-io", "--label", "l=m", IMAGE, "heard", "sh", "-c", "exit 3", check=False)
        daemon.ctr("containers", "rm", "heard")
        daemon.ctr("images", "rm", IMAGE)
        daemon.ctr("namespaces", "rm", f"{daemon.namespace}-x")
        gone = f'/namespaces/delete {{"name":"{daemon.namespace}-x"'  # not that of the noise
        theirs, ours = (about_this(listener.lines_until(gone)) for listener in listeners)
    assert ours == theirs
    topics = [line.split(" ")[5] for line in ours]
    assert {"/images/create", "/containers/create", "/tasks/start", "/tasks/exit", "/snapshot/remove"} <= set(topics)


def hear(daemon: Daemon, listener: Listener) -> None:
    """Makes noise until *listener* has heard of it: a daemon doesn't say when it has taken a subscription."""
    assert listener.process.stdout is not None
    until = time.monotonic() + PATIENCE_S
    while not select.select([listener.process.stdout], [], [], 0)[0]:
        assert time.monotonic() < until
        daemon.ctr("namespaces", "create", "noise")
        daemon.ctr("namespaces", "rm", "noise")


def about_this(lines: list[str]) -> list[str]:
    return [line for line in lines if '"noise"' not in line]


@pytest.mark.parametrize("program", [STOCK, OURS], ids=str)
def test_a_filter_lets_through_what_it_names(daemon: Daemon, program: Kind) -> None:
    listener = Listener(daemon, program, 'topic~="/namespaces/.*"', "event.name==nothing")
    try:
        hear(daemon, listener)
        daemon.ctr("leases", "create", "--id", "quiet")
        daemon.ctr("namespaces", "create", "loud")
        daemon.ctr("namespaces", "rm", "loud")
        assert all("/namespaces/" in line for line in listener.lines_until('/namespaces/delete {"name":"loud"}'))
        daemon.ctr("leases", "rm", "quiet")
    finally:
        listener.close()
