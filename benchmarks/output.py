"""How fast output comes out of a container, and what it costs: `python -m benchmarks.output`, as root.

A container's `cat` writes to a fifo that is read to nowhere, to a file, to a log in the format of Kubernetes (by our
shim, and for stock's shim by our logging program), and through each daemon's own ctr. Counted is what `cat` writes, and
the CPU of whoever moves it: the shim and its logging program, or ctr.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import Process
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

from benchmarks.cycle import KEPT, SNAPSHOTTER, TEMPLATE, parent_of, record_of
from benchmarks.measures import HEADER, Pair
from benchmarks.side_by_side import IMAGE, Sides, connected, shims_of
from pycontainerd.api.containerd.services.containers import v1_pb2 as containers_pb2
from pycontainerd.client.blocking import BlockingClient
from tests.harness import peers
from tests.harness.daemon import OURS, Daemon
from tests.harness.machine import MARK, SESSION

MB: Final = 1_000_000
ZEROS: Final = 2 << 30
LINES: Final = 500 * MB
LINE: Final = b"x" * 99 + b"\n"
TICKS_S: Final = os.sysconf("SC_CLK_TCK")
LOGGER: Final = "containerd-cri-log"


class Cost(NamedTuple):
    """One run: how fast, and seconds of CPU."""

    mb_s: float
    cpu_s: float


class Writer:
    """Containers of a daemon that write out the files in *data*."""

    def __init__(self, daemon: Daemon, data: Path) -> None:
        self.daemon = daemon
        self.mount = f"type=bind,src={data},dst=/data,options=rbind:ro"
        runc = ("--runc-root", daemon.base / "runc")
        daemon.ctr("containers", "create", *runc, "--mount", self.mount, IMAGE, TEMPLATE, "cat")
        with connected(daemon) as client:
            self._pattern: containers_pb2.Container = client.containers.get(TEMPLATE)
        self._parent = parent_of(daemon)

    def to(self, destination: Callable[[Path], str], name: str, size: int) -> Cost:
        """One run of `cat` with both streams to what *destination* makes of a new path."""
        id_ = f"w{time.monotonic_ns()}"
        path = self.daemon.base / id_
        uri = destination(path)
        record = record_of(self._pattern, id_)
        spec = json.loads(record.spec.value)
        spec["process"]["args"] = ["cat", f"/data/{name}"]
        record.spec.value = json.dumps(spec).encode()
        with connected(self.daemon) as client, contextlib.ExitStack() as stack:
            mounts = client.snapshots(SNAPSHOTTER).prepare(id_, self._parent, labels=KEPT)
            stack.callback(client.snapshots(SNAPSHOTTER).remove, id_)
            client.containers.create(record)
            stack.callback(client.containers.delete, id_)
            stack.callback(path.unlink, missing_ok=True)
            client.tasks.create(id_, rootfs=mounts, stdout=uri, stderr=uri)
            stack.callback(client.tasks.delete, id_)
            return self._timed(client, id_, size)

    def _timed(self, client: BlockingClient, id_: str, size: int) -> Cost:
        movers = [*shims_of(self.daemon), *loggers_of(self.daemon)]
        before, begin = sum(map(cpu_s, movers)), time.perf_counter()
        client.tasks.start(id_)
        assert client.tasks.wait(id_).exit_status == 0
        took = time.perf_counter() - begin
        return Cost(size / MB / took, sum(map(cpu_s, movers)) - before)

    def to_fifo(self) -> Cost:
        """To a fifo whose reader moves everything to nowhere."""
        reader: Process

        def fifo(path: Path) -> str:
            nonlocal reader
            os.mkfifo(path)
            reader = Process(target=discard, args=(path,))
            reader.start()
            return str(path)

        cost = self.to(fifo, "zeros", ZEROS)
        reader.join()
        return cost

    def to_log(self) -> Cost:
        """To a log in the format of Kubernetes."""
        return self.to(native if self.daemon.kind is OURS else by_program, "lines", LINES)

    def through_ctr(self, sink: Path) -> Cost:
        """Through the daemon's own ctr to *sink*."""
        own = ("--fifo-dir", self.daemon.base / "fifo", "--runc-root", self.daemon.base / "runc")
        words = ["run", "--rm", *own, "--mount", self.mount, IMAGE, f"r{time.monotonic_ns()}", "cat", "/data/zeros"]
        begin = time.perf_counter()
        with sink.open("wb") as out:
            command = [str(self.daemon.kind.program("ctr")), *map(str, words)]
            ctr = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, env=self.daemon.env())
            _, status, usage = os.wait4(ctr.pid, 0)
        ctr.returncode = os.waitstatus_to_exitcode(status)
        assert ctr.returncode == 0
        return Cost(ZEROS / MB / (time.perf_counter() - begin), usage.ru_utime + usage.ru_stime)


def native(path: Path) -> str:
    return f"cri-log://{path}"


def by_program(path: Path) -> str:
    return f"binary://{peers.ours(LOGGER)}?path={quote(str(path))}"


def file(path: Path) -> str:
    return f"file://{path}"


def discard(path: Path) -> None:
    """Reads a fifo to its end."""
    source, nowhere = os.open(path, os.O_RDONLY), os.open(os.devnull, os.O_WRONLY)
    while os.splice(source, nowhere, 1 << 20):
        pass


def loggers_of(daemon: Daemon) -> list[int]:
    """Our logging programs that write below the daemon's base."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = entry.read_bytes()
            if LOGGER.encode() in command and f"\0{daemon.base}/".encode() in command:
                found.append(int(entry.parent.name))
    return found


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_S


def in_turn(what: str, of: Callable[[Writer], Cost], writers: tuple[Writer, Writer], runs: int) -> Iterator[Pair]:
    """Measures both writers in turn, once more than counts."""
    costs = [(of(writers[0]), of(writers[1])) for _ in range(runs + 1)][1:]
    ours, stock = zip(*costs, strict=True)
    yield Pair(what, "MB/s", tuple(c.mb_s for c in ours), tuple(c.mb_s for c in stock), "≥ 1", more_is_better=True)
    yield Pair(f"{what}: CPU", "s", tuple(c.cpu_s for c in ours), tuple(c.cpu_s for c in stock), "≤ 1")


def measured(writers: tuple[Writer, Writer], base: Path, runs: int) -> Iterator[Pair]:
    """All pairs."""
    yield from in_turn("2 GB into a fifo", Writer.to_fifo, writers, runs)
    yield from in_turn("500 MB of lines into `file://`", lambda w: w.to(file, "lines", LINES), writers, runs)
    yield from in_turn("500 MB of lines into a log for Kubernetes", Writer.to_log, writers, runs)
    for name, sink in (("nowhere", Path(os.devnull)), ("a file", base / "sink")):
        yield from in_turn(f"2 GB through ctr to {name}", partial(Writer.through_ctr, sink=sink), writers, runs)


def main() -> None:
    """Measures and prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    os.environ[MARK] = SESSION
    base = Path("/dev/shm") / SESSION
    base.mkdir(mode=0o700)
    try:
        with contextlib.ExitStack() as stack:
            data = base / "data"
            data.mkdir()
            with (data / "zeros").open("wb") as out:
                out.truncate(ZEROS)
            (data / "lines").write_bytes(LINE * (LINES // len(LINE)))
            sides = Sides(base, stack)
            writers = Writer(sides.ours, data), Writer(sides.stock, data)
            print(HEADER)
            for pair in measured(writers, base, runs):
                print(pair.row(), flush=True)
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
