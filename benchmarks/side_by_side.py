"""Ours beside stock in one run: `python -m benchmarks.side_by_side [--runs N]`, as root.

Both daemons have their roots on a tmpfs, the same runc, the same clients. Needs what `scripts/setup --tests` installs.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pycontainerd
from benchmarks.measures import HEADER, MILLI, Pair, in_turn, memory_kib, percentile, seconds
from pycontainerd.client.blocking import BlockingClient, connect
from pycontainerd.client.connection import NoSocket
from pycontainerd.errors import Unavailable
from scripts.busybox_image import busybox_layer, oci_archive
from tests.harness.daemon import OURS, STOCK, Daemon, Kind
from tests.harness.machine import MARK, SESSION

IMAGE = "example.local/library/busybox:latest"
SLEEPERS = 20
CALLS = 2000


class Sides:
    """Both daemons, up at the same time."""

    def __init__(self, base: Path, stack: contextlib.ExitStack) -> None:
        self.archive = base / "busybox.tar"
        self.archive.write_bytes(oci_archive(IMAGE, [busybox_layer()]))
        self.ours = stack.enter_context(Daemon.start(OURS, base / "o"))
        self.stock = stack.enter_context(Daemon.start(STOCK, base / "s"))
        for daemon in (self.ours, self.stock):
            daemon.ctr("images", "import", self.archive)

    def pair(self, what: str, unit: str, of: Callable[[Daemon], float], runs: int, aim: str = "") -> Pair:
        """Measures *of* each daemon in turn."""
        ours, stock = in_turn(lambda: of(self.ours), lambda: of(self.stock), runs)
        return Pair(what, unit, ours, stock, aim)


def run_time(client: Kind | None) -> Callable[[Daemon], float]:
    """Wall time of `ctr run --rm` of `true`; by stock ctr, or by each daemon's own."""

    def measure(daemon: Daemon) -> float:
        return MILLI * seconds(
            lambda: daemon.run("--rm", IMAGE, f"r{time.monotonic_ns()}", "true", by=client or daemon.kind)
        )

    return measure


def connected(daemon: Daemon) -> BlockingClient:
    """Our client of either daemon."""
    return connect(str(daemon.address), namespace=daemon.namespace, timeout_s=10)


def call_time(action: Callable[[BlockingClient], object]) -> Callable[[Daemon], float]:
    """The median of many calls over one connection of our client, in ms."""

    def measure(daemon: Daemon) -> float:
        with connected(daemon) as client:
            action(client)
            return MILLI * percentile([seconds(lambda: action(client)) for _ in range(CALLS)], 0.5)

    return measure


def shims_of(daemon: Daemon) -> list[int]:
    """The shims that serve the daemon's namespace."""
    needle = f"-namespace\0{daemon.namespace}\0".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                if b"containerd-shim" in command and needle in command:
                    found.append(int(entry.name))
    return found


def start_sleepers(daemon: Daemon) -> None:
    for number in range(SLEEPERS):
        daemon.run("-d", IMAGE, f"sleeper{number}", "sleep", "100000")


def ask_sleepers(daemon: Daemon, times: int = 100) -> None:
    """Some requests to each shim, as a monitor would send them."""
    with connected(daemon) as client:
        for number in range(SLEEPERS):
            for _ in range(times):
                client.tasks.get(f"sleeper{number}")


def start_time(daemon: Daemon) -> float:
    """From the execution of a daemon to the first answer of Version, in ms."""
    daemon.stop()
    daemon.address.unlink(missing_ok=True)
    command = [str(daemon.kind.program("containerd")), "--config", str(daemon.base / "config.toml")]
    with daemon.log.open("ab") as log:
        begin = time.perf_counter()
        daemon.process = subprocess.Popen(
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=daemon.env(), cwd=daemon.base
        )
    while True:
        with contextlib.suppress(NoSocket, Unavailable), connected(daemon) as client:
            client.version.get()
            return MILLI * (time.perf_counter() - begin)
        time.sleep(0.0005)


def store_containers(daemon: Daemon, number: int) -> None:
    """Records without tasks, as `ctr containers create` makes them."""
    for index in range(number):
        daemon.ctr("containers", "create", IMAGE, f"record{index}", "true")


def measured(sides: Sides, runs: int) -> Iterator[Pair]:
    """All pairs, in the order in which the daemons can be measured without disturbing what comes after."""
    yield sides.pair("start to first Version, empty of tasks", "ms", start_time, runs)
    yield sides.pair("`ctr run --rm`, stock ctr on both", "ms", run_time(STOCK), runs, "≤ 0.7")
    yield sides.pair("`ctr run --rm`, each daemon's own ctr", "ms", run_time(None), runs, "≤ 0.7")
    yield sides.pair("Version, p50", "ms", call_time(lambda c: c.version.get()), 5, "≤ 1.1")
    for daemon in (sides.ours, sides.stock):
        start_sleepers(daemon)
        ask_sleepers(daemon)
    ours, stock = (tuple(memory_kib(pid, "Pss") / 1024 for pid in shims_of(d)) for d in (sides.ours, sides.stock))
    yield Pair(f"PSS of a shim, {SLEEPERS} sleeping, 100 requests each", "MiB", ours, stock, "≤ 0.75")
    ours, stock = ((memory_kib(d.pid, "Rss") / 1024,) for d in (sides.ours, sides.stock))
    yield Pair(f"RSS of the daemon, {SLEEPERS} containers", "MiB", ours, stock, "≤ 1")
    yield sides.pair("Tasks.Get of a running task, p50", "ms", call_time(lambda c: c.tasks.get("sleeper0")), 5)
    for daemon in (sides.ours, sides.stock):
        store_containers(daemon, 100 - SLEEPERS)
    yield sides.pair("Containers.List of 100, p50", "ms", call_time(lambda c: c.containers.list()), 5, "≤ 1.2")
    yield sides.pair(f"start to first Version, {SLEEPERS} running", "ms", start_time, runs)


def main() -> None:
    """Measures and prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    compileall.compile_dir(Path(pycontainerd.__file__).parent, quiet=2)  # as an installation has it
    os.environ[MARK] = SESSION
    base = Path("/dev/shm") / SESSION
    base.mkdir(mode=0o700)
    try:
        with contextlib.ExitStack() as stack:
            sides = Sides(base, stack)
            print(HEADER)
            for pair in measured(sides, runs):
                print(pair.row(), flush=True)
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
