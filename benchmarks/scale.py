"""Figures by the number of images: `python -m benchmarks.scale [--sizes 100 1000 …] [--base DIR …]`, as root.

Each image has five small blobs and a chain of two snapshots, made through the API. Ours and stock have the same client
and the same directory, on ext4 or on a tmpfs, and are asked in turn. A line tells the medians, their ratio, how much
each grew since the size before, and what is beyond the aim: 1.5 times stock's, 1 for a collection; or grew beyond 12
times, 2 for single calls. The loop's delay is measured in our daemon itself (see `probe`), beside that of an idle
process in the column of stock: what the machine adds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import os
import shutil
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.measures import MILLI, memory_kib
from benchmarks.probe import Delays, Probed, idle
from benchmarks.scale_calls import INGESTS, LISTINGS, TOGETHER, Action, Caller, collect, fill, ingest, single
from tests.harness.daemon import STOCK, Daemon
from tests.harness.machine import MARK, SESSION

COLLECTION: Final = "gc run"
MAKING: Final = "make an image"
DELAY: Final = "loop delay p99"
SINGLE: Final = frozenset(single(1))
CHUNK: Final = 250
"""Images that one side makes before it is the other's turn."""

Figures = dict[str, float]


@dataclass
class Side:
    """One daemon that grows."""

    daemon: Daemon
    samples: dict[str, list[float]] = field(default_factory=dict)
    by_size: dict[int, Figures] = field(default_factory=dict)

    def note(self, what: str, value: float) -> None:
        self.samples.setdefault(what, []).append(value)

    def settle(self, size: int) -> None:
        """Makes the samples the figures of *size*."""
        self.by_size[size] = {what: statistics.median(samples) for what, samples in self.samples.items()}
        self.samples = {}

    async def fill(self, numbers: range) -> None:
        caller = await Caller.connected(self.daemon)
        begin = time.perf_counter()
        await fill(caller, numbers)
        self.note(MAKING, MILLI * (time.perf_counter() - begin) / len(numbers))
        await caller.close()

    def restart(self) -> None:
        self.daemon.stop()
        begin = time.perf_counter()
        self.daemon.up()
        self.note("start-up", MILLI * (time.perf_counter() - begin))


class Pair:
    """Ours and stock over directories below *base*, with what ours tells of its loop."""

    def __init__(self, base: Path, stack: ExitStack) -> None:
        directory = base / "probe"
        directory.mkdir(parents=True)
        self.kind = Probed.at(directory)
        self.ours = Side(stack.enter_context(Daemon.start(self.kind, base / "ours")))
        self.stock = Side(stack.enter_context(Daemon.start(STOCK, base / "stock")))
        self.sides = (self.ours, self.stock)
        self.idle_directory = base / "idle"
        self.idle = stack.enter_context(idle(self.idle_directory))
        self.size = 0

    def grow(self, size: int) -> None:
        """Fills both up to *size* images, starts them anew, and measures."""
        for begin in range(self.size, size, CHUNK):
            for side in self.sides:
                asyncio.run(side.fill(range(begin, min(begin + CHUNK, size))))
        self._delays("while images are made")
        for _ in range(3):
            for side in self.sides:
                side.restart()
        asyncio.run(self._measure(size))
        for side in self.sides:
            side.note("RSS, MiB", memory_kib(side.daemon.pid, "Rss") / 1024)
            side.settle(size)
        self.size = size

    async def _measure(self, size: int) -> None:
        callers = [(side, await Caller.connected(side.daemon)) for side in self.sides]
        going = range(size - 1, -1, -1)
        for _, caller in callers:
            await collect(caller, going[0])  # the first collection after a start looks at the whole disk
        self._delays("after a start")
        for what, action, times, parts in _actions(size):
            for _ in range(times):
                for side, caller in callers:
                    side.note(what, await _timed(partial(action, caller)) / parts)
        self._delays("while they are asked for")
        for number in going[1:6]:
            for side, caller in callers:
                side.note(COLLECTION, await _timed(partial(collect, caller, number)))
        self._delays("while they are collected")
        for _ in range(5):
            for side, caller in callers:
                side.note(f"{INGESTS} ingests of 1 MiB at once", await _timed(partial(ingest, caller)))
        self._delays("while blobs come in")
        for _, caller in callers:
            await caller.close()

    def _delays(self, when: str) -> None:
        """Notes how late our loop was, and beside it, where stock's figures stand, how late an idle process was."""
        self.ours.note(f"{DELAY} {when}", Delays.taken(self.ours.daemon.pid, self.kind.directory).p99)
        self.stock.note(f"{DELAY} {when}", Delays.taken(self.idle, self.idle_directory).p99)


def _actions(size: int) -> Iterator[tuple[str, Action, int, int]]:
    """What is asked, how often, and of how many calls each sample is."""
    yield from ((what, action, 8, TOGETHER) for what, action in single(size).items())
    yield from ((what, action, 15 if size < 10_000 else 9, 1) for what, action in LISTINGS.items())


async def _timed(action: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds of one run. Our own garbage is collected before, not meanwhile."""
    gc.collect()
    begin = time.perf_counter()
    await action()
    return MILLI * (time.perf_counter() - begin)


def _beyond(what: str, ratio: float | None, grew: float | None) -> str:
    """In which regard a figure is beyond its aim."""
    if what.startswith(DELAY):
        return ""
    found = []
    if ratio is not None and ratio > (1.0 if what == COLLECTION else 1.5):
        found.append("ratio")
    if grew is not None and grew > (2 if what in SINGLE else 12):
        found.append("growth")
    return ", ".join(found)


def report(pair: Pair, sizes: Sequence[int]) -> None:
    """Prints the table in Markdown."""
    print("| images | what | ours, ms | stock, ms | ours / stock | ours grew | stock grew | beyond |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for before, size in itertools.pairwise((None, *sizes)):
        for what, value in pair.ours.by_size[size or 0].items():
            other = pair.stock.by_size[size or 0].get(what)
            ratio = value / other if other else None
            grew = [
                None
                if before is None or what not in side.by_size[before]
                else side.by_size[size or 0].get(what, 0) / side.by_size[before][what]
                for side in pair.sides
            ]
            beyond = "delay" if what.startswith(DELAY) and value > 5 else _beyond(what, ratio, grew[0])
            cells = [_shown(other, ".3g"), _shown(ratio, ".2f"), *(_shown(each, ".1f") for each in grew), beyond]
            print(f"| {size} | {what} | {value:.3g} | {' | '.join(cells)} |", flush=True)


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _favour(nice: int) -> None:
    """Gives this process and those that it starts the priority *nice*, also against those of other sessions."""
    os.nice(nice)
    with suppress(OSError):  # the leader of its session has a scheduling group already
        os.setsid()
    with suppress(FileNotFoundError):
        Path("/proc/self/autogroup").write_text(str(nice))


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000])
    parser.add_argument(
        "--base", type=Path, nargs="+", default=[Path("/dev/shm")], help="directories, as on ext4 and on a tmpfs"
    )
    parser.add_argument(
        "--nice", type=int, default=0, help="of the daemons and the client, below 0 where others use the machine"
    )
    arguments = parser.parse_args()
    if arguments.nice:
        _favour(arguments.nice)
    os.environ[MARK] = SESSION
    for parent in arguments.base:
        base = parent / f"scale-{SESSION}"
        try:
            with ExitStack() as stack:
                pair = Pair(base, stack)
                for size in arguments.sizes:
                    pair.grow(size)
                print(f"\n{parent}:\n")
                report(pair, arguments.sizes)
        finally:
            shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
