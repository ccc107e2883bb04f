"""What containerd-stress does, by one program over the API of both daemons: `python -m benchmarks.cycle`, as root.

A cycle is a container with a snapshot, its task, a wait, the start of `true`, and the deletion of all. Prints the rate
of cycles by 1, 4 and 16 workers, and for one worker how long each step takes: where the time goes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.measures import HEADER, MILLI, Pair, in_turn
from benchmarks.side_by_side import IMAGE, Sides, connected
from pycontainerd.api.containerd.services.containers import v1_pb2 as containers_pb2
from pycontainerd.client.client import Client
from pycontainerd.client.connection import connected as connect
from pycontainerd.rpc.blocking_driver import BlockingDriver
from pycontainerd.rpc.driver import Driver
from tests.harness.daemon import Daemon
from tests.harness.machine import MARK, SESSION

TEMPLATE: Final = "template"
SNAPSHOTTER: Final = "overlayfs"

KEPT: Final = {"containerd.io/gc.root": "2000-01-01T00:00:00Z"}
"""Or a collection may take the snapshot before its container is there."""

Note = Callable[[str, float], None]


def template(daemon: Daemon, *command: str) -> containers_pb2.Container:
    """The record of a container as stock ctr makes it. Its snapshot stays; what is made after it has its own."""
    daemon.ctr("containers", "create", "--runc-root", daemon.base / "runc", IMAGE, TEMPLATE, *command)
    with connected(daemon) as client:
        record: containers_pb2.Container = client.containers.get(TEMPLATE)
    return record


def parent_of(daemon: Daemon) -> str:
    """The snapshot of the image."""
    with connected(daemon) as client:
        parent: str = client.snapshots(SNAPSHOTTER).stat(TEMPLATE).parent
    return parent


def record_of(pattern: containers_pb2.Container, id_: str) -> containers_pb2.Container:
    """A container like *pattern* with its own id, snapshot and control group."""
    record = containers_pb2.Container()
    record.CopyFrom(pattern)
    spec = json.loads(pattern.spec.value)
    spec["linux"]["cgroupsPath"] = f"{os.path.dirname(spec['linux']['cgroupsPath'])}/{id_}"
    record.id = record.snapshot_key = id_
    record.spec.value = json.dumps(spec).encode()
    return record


class Worker:
    """One connection to a daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._driver = BlockingDriver()
        connecting = connect(self._driver, str(daemon.address), namespace=daemon.namespace, timeout_s=None)
        self._client = self._driver.run(connecting)

    def cycle(self, record: containers_pb2.Container, parent: str, note: Note) -> None:
        """One cycle, from nothing to nothing."""
        self._driver.run(_cycle(self._client, self._driver, record, parent, note))

    def close(self) -> None:
        self._driver.run(self._client.close())
        self._driver.close()


async def _cycle(client: Client, driver: Driver, record: containers_pb2.Container, parent: str, note: Note) -> None:
    id_ = record.id
    begin = time.perf_counter()

    def done(step: str) -> None:
        nonlocal begin
        begin, before = time.perf_counter(), begin
        note(step, begin - before)

    snapshots = client.snapshots(SNAPSHOTTER)
    mounts = await snapshots.prepare(id_, parent, labels=KEPT)
    done("prepare snapshot")
    await client.containers.create(record)
    done("create container")
    await client.tasks.create(id_, rootfs=mounts)
    done("create task")
    ended = driver.waiter()

    async def wait() -> None:
        ended.set((await client.tasks.wait(id_)).exit_status)

    waiting = driver.spawn(wait(), name="wait")
    await client.tasks.start(id_)
    done("start task")
    status = await ended
    waiting.cancel()
    if status:
        raise RuntimeError(f"{id_} ended with {status}")
    done("wait for its end")
    await client.tasks.delete(id_)
    done("delete task")
    await snapshots.remove(id_)
    done("remove snapshot")
    await client.containers.delete(id_)
    done("delete container")


class Load:
    """Workers that cycle on one daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self._pattern = template(daemon, "true")
        self._parent = parent_of(daemon)
        self._rounds = 0
        self.steps: dict[str, list[float]] = defaultdict(list)

    def rate(self, workers: int, cycles: int) -> float:
        """Cycles a second of *workers* that make *cycles* each."""
        self._rounds += 1
        with contextlib.ExitStack() as stack, ThreadPoolExecutor(workers) as pool:
            clients = [stack.enter_context(contextlib.closing(Worker(self.daemon))) for _ in range(workers)]
            begin = time.perf_counter()
            runs = [pool.submit(self._run, client, f"w{number}", cycles) for number, client in enumerate(clients)]
            for run in runs:
                run.result()
            return workers * cycles / (time.perf_counter() - begin)

    def _run(self, worker: Worker, name: str, cycles: int) -> None:
        for number in range(cycles):
            record = record_of(self._pattern, f"{name}-{self._rounds}-{number}")
            worker.cycle(record, self._parent, lambda step, took: self.steps[step].append(took))

    def cpu_s(self) -> float:
        """Seconds of CPU that the daemon has used."""
        fields = Path(f"/proc/{self.daemon.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measured(ours: Load, stock: Load, runs: int, cycles: int) -> Iterator[Pair]:
    """Rates by the number of workers, then the steps of one worker's cycles."""
    for workers in (1, 4, 16):
        each = max(1, cycles // workers)
        for load in (ours, stock):
            load.steps.clear()
        ours_cpu, stock_cpu = ours.cpu_s(), stock.cpu_s()
        rates = in_turn(partial(ours.rate, workers, each), partial(stock.rate, workers, each), runs)
        yield Pair(f"cycles, {workers} workers", "1/s", *rates, "≥ 1.5")
        if workers == 1:
            yield from steps(ours, stock)
            number = len(ours.steps["create task"])
            used = MILLI * (ours.cpu_s() - ours_cpu) / number, MILLI * (stock.cpu_s() - stock_cpu) / number
            yield Pair("CPU of the daemon for a cycle", "ms", (used[0],), (used[1],))


def steps(ours: Load, stock: Load) -> Iterator[Pair]:
    """How long each step took."""
    for step, took in ours.steps.items():
        yield Pair(step, "ms", tuple(MILLI * each for each in took), tuple(MILLI * each for each in stock.steps[step]))


def main() -> None:
    """Measures and prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cycles", type=int, default=32, help="of all workers in one run")
    arguments = parser.parse_args()
    os.environ[MARK] = SESSION
    base = Path("/dev/shm") / SESSION
    base.mkdir(mode=0o700)
    try:
        with contextlib.ExitStack() as stack:
            sides = Sides(base, stack)
            print(HEADER)
            for pair in measured(Load(sides.ours), Load(sides.stock), arguments.runs, arguments.cycles):
                print(pair.row(), flush=True)
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
