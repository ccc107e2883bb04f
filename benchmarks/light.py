"""What a running container costs in memory, ours beside stock: `python -m benchmarks.light [--sleepers N]`, as root.

Each of N containers sleeps and has a Wait open. Of the daemon the growth of its RSS by container is taken; of each shim
its PSS after 100 requests, at once and when it has rested; of the idle shims the CPU time that they use in ten seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import time
from pathlib import Path
from typing import Final

from benchmarks.cycle import KEPT, SNAPSHOTTER, parent_of, record_of, template
from benchmarks.measures import HEADER, Pair, memory_kib
from benchmarks.side_by_side import Sides, shims_of
from pycontainerd.client.connection import connected
from pycontainerd.rpc.blocking_driver import BlockingDriver
from tests.harness.daemon import Daemon
from tests.harness.machine import MARK, SESSION

REQUESTS: Final = 100
REST_S: Final = 5.0
"""Longer than a shim waits before it gives back what it doesn't need."""

IDLE_S: Final = 10.0


class Sleepers:
    """Containers that sleep under one daemon, each with a Wait."""

    def __init__(self, daemon: Daemon, number: int) -> None:
        self.daemon, self.number = daemon, number
        self._driver = BlockingDriver()
        connecting = connected(self._driver, str(daemon.address), namespace=daemon.namespace, timeout_s=None)
        self._client = self._driver.run(connecting)
        self._pattern, self._parent = template(daemon, "sleep", "100000"), parent_of(daemon)
        self._driver.run(self._client.version.get())
        self.empty_kib = memory_kib(daemon.pid, "Rss")
        for index in range(number):
            self._driver.run(self._start(f"sleeper{index}"))

    async def _start(self, id_: str) -> None:
        mounts = await self._client.snapshots(SNAPSHOTTER).prepare(id_, self._parent, labels=KEPT)
        await self._client.containers.create(record_of(self._pattern, id_))
        await self._client.tasks.create(id_, rootfs=mounts)
        await self._client.tasks.start(id_)
        self._driver.spawn(self._wait(id_), name=f"wait {id_}")

    async def _wait(self, id_: str) -> None:
        await self._client.tasks.wait(id_)

    def ask(self) -> None:
        """The requests of a monitor."""
        for index in range(self.number):
            for _ in range(REQUESTS):
                self._driver.run(self._client.tasks.get(f"sleeper{index}"))

    def daemon_kib(self) -> float:
        """The growth of the daemon's RSS by container."""
        return (memory_kib(self.daemon.pid, "Rss") - self.empty_kib) / self.number

    def shims_mib(self) -> tuple[float, ...]:
        """The PSS of each shim."""
        return tuple(memory_kib(pid, "Pss") / 1024 for pid in shims_of(self.daemon))

    def shims_cpu_ms(self) -> float:
        """The CPU time of all shims so far; see schedstat in proc(5)."""
        return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in shims_of(self.daemon)) / 1e6


def measured(ours: Sleepers, stock: Sleepers) -> list[Pair]:
    """Everything, in the order in which it can be taken."""
    number = ours.number
    time.sleep(REST_S)
    pairs = [Pair(f"daemon, by container of {number}", "KiB", (ours.daemon_kib(),), (stock.daemon_kib(),), "ours ≤ 20")]
    for side in (ours, stock):
        side.ask()
    pairs.append(Pair("PSS of a shim, just asked", "MiB", ours.shims_mib(), stock.shims_mib()))
    time.sleep(REST_S)
    pairs.append(Pair("PSS of a shim, rested", "MiB", ours.shims_mib(), stock.shims_mib(), "≤ 0.6"))
    before = ours.shims_cpu_ms(), stock.shims_cpu_ms()
    time.sleep(IDLE_S)
    used = ours.shims_cpu_ms() - before[0], stock.shims_cpu_ms() - before[1]
    pairs.append(Pair(f"CPU of all shims, idle for {IDLE_S:g} s", "ms", (used[0],), (used[1],), "ours 0"))
    return pairs


def main() -> None:
    """Measures and prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sleepers", type=int, default=20)
    number = parser.parse_args().sleepers
    os.environ[MARK] = SESSION
    base = Path("/dev/shm") / SESSION
    base.mkdir(mode=0o700)
    try:
        with contextlib.ExitStack() as stack:
            sides = Sides(base, stack)
            print(HEADER)
            for pair in measured(Sleepers(sides.ours, number), Sleepers(sides.stock, number)):
                print(pair.row(), flush=True)
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
