"""The protocols, ours beside stock: `python -m benchmarks.rpc [--ours SOCKET --stock SOCKET] [--runs N]`, as root.

Without sockets it starts both daemons. Each pair is measured in alternation with the same client, ours over the
blocking driver or grpcio. CPU is the daemon's, user and system.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import shutil
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf.empty_pb2 import Empty

from benchmarks.measures import HEADER, MILLI, Pair, in_turn, memory_kib, percentile
from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.content import v1_pb2 as content_pb2
from pycontainerd.api.containerd.services.events import v1_pb2 as events_pb2
from pycontainerd.api.containerd.services.events.ttrpc import v1_pb2 as forward_pb2
from pycontainerd.api.containerd.services.version import v1_pb2 as version_pb2
from pycontainerd.rpc.blocking_driver import BlockingDriver
from pycontainerd.rpc.encoded import Encoded
from pycontainerd.rpc.grpc.client import GrpcClient
from pycontainerd.rpc.service import methods_of
from pycontainerd.rpc.ttrpc.client import TtrpcClientConnection

VERSION: Final = methods_of(version_pb2.DESCRIPTOR.services_by_name["Version"])["version"]
FORWARD: Final = methods_of(forward_pb2.DESCRIPTOR.services_by_name["Events"])["forward"]
SUBSCRIBE: Final = methods_of(events_pb2.DESCRIPTOR.services_by_name["Events"])["subscribe"]
CONTENT: Final = methods_of(content_pb2.DESCRIPTOR.services_by_name["Content"])
NAMESPACE: Final = (("containerd-namespace", "benchmark"),)

CALLS: Final = 2000
MIB: Final = 1024 * 1024
BLOB_MIB: Final = 256
OPEN_CALLS: Final = 1000
DATA_FIELD: Final = 6
"""Number of the field `data` in WriteContentRequest."""


class Side:
    """One daemon."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.pid = _pid_behind(address)

    def cpu_s(self) -> float:
        """What the daemon has computed so far, in seconds; see proc(5)."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @contextlib.contextmanager
    def client(self) -> Iterator[tuple[BlockingDriver, GrpcClient]]:
        with BlockingDriver() as driver:
            client = GrpcClient(driver, metadata=NAMESPACE)
            driver.run(driver.connect_unix(self.address, client))
            yield driver, client


def call_times(call: Callable[[], object], share: float) -> float:
    """Of many calls the time in ms below which *share* of them lie."""
    samples = []
    for _ in range(CALLS):
        begin = time.perf_counter()
        call()
        samples.append(time.perf_counter() - begin)
    return MILLI * percentile(samples, share)


def small_call(share: float) -> Callable[[Side], float]:
    def measure(side: Side) -> float:
        with side.client() as (driver, client):
            return call_times(lambda: driver.run(client.unary(VERSION, Empty())), share)

    return measure


def small_call_of_grpcio(share: float) -> Callable[[Side], float]:
    def measure(side: Side) -> float:
        with grpc.insecure_channel(f"unix:{side.address}") as channel:
            call: Any = channel.unary_unary(
                VERSION.path, lambda each: each.SerializeToString(), VERSION.response.FromString
            )
            call(Empty())
            return call_times(lambda: call(Empty()), share)

    return measure


def small_call_of_ttrpc(share: float) -> Callable[[Side], float]:
    envelope = types_pb2.Envelope(namespace="benchmark", topic="/benchmark/small")
    request = FORWARD.request(envelope=envelope)

    def measure(side: Side) -> float:
        with BlockingDriver() as driver:
            client = TtrpcClientConnection(driver)
            driver.run(driver.connect_unix(f"{side.address}.ttrpc", client))
            return call_times(lambda: driver.run(client.unary(FORWARD, request)), share)

    return measure


class Blob:
    """A blob in both stores, new for each run."""

    def __init__(self) -> None:
        self.part = os.urandom(MIB)
        self.digest = f"sha256:{hashlib.sha256(self.part * BLOB_MIB).hexdigest()}"

    async def write(self, client: GrpcClient) -> None:
        total = BLOB_MIB * MIB
        async with client.stream(CONTENT["write"]) as stream:
            for number in range(BLOB_MIB):
                rest = content_pb2.WriteContentRequest(
                    action=content_pb2.WRITE, ref="benchmark", total=total, expected=self.digest, offset=number * MIB
                )
                await stream.send(Encoded(rest, DATA_FIELD, self.part))
                await anext(stream)
            await stream.send(
                content_pb2.WriteContentRequest(
                    action=content_pb2.COMMIT, ref="benchmark", total=total, expected=self.digest, offset=total
                )
            )
            await anext(stream)

    async def read(self, client: GrpcClient) -> None:
        size = 0
        async with client.stream(CONTENT["read"]) as stream:
            await stream.send(content_pb2.ReadContentRequest(digest=self.digest))
            await stream.close_send()
            async for reply in stream:
                size += len(reply.data)
        if size != BLOB_MIB * MIB:
            raise RuntimeError(f"{size} bytes of the blob came")

    async def delete(self, client: GrpcClient) -> None:
        await client.unary(CONTENT["delete"], content_pb2.DeleteContentRequest(digest=self.digest))


def streams(sides: tuple[Side, Side], runs: int) -> Iterator[Pair]:
    """MB/s and CPU of Content.Write and Content.Read."""
    blob = Blob()
    figures: dict[tuple[str, Side], list[tuple[float, float]]] = {}

    def measure(side: Side) -> float:
        with side.client() as (driver, client):
            for name, action in (("Write", blob.write), ("Read", blob.read)):
                cpu, begin = side.cpu_s(), time.perf_counter()
                driver.run(action(client))
                took, spent = time.perf_counter() - begin, side.cpu_s() - cpu
                figures.setdefault((name, side), []).append((BLOB_MIB * MIB / 1e6 / took, spent))
            driver.run(blob.delete(client))
        return 0.0

    ours, stock = sides
    in_turn(lambda: measure(ours), lambda: measure(stock), runs)
    for name in ("Write", "Read"):
        for index, (what, unit) in enumerate(((f"Content.{name}", "MB/s"), (f"CPU of Content.{name}, 256 MiB", "s"))):
            each = [tuple(figure[index] for figure in figures[name, side][1:]) for side in sides]
            yield Pair(what, unit, each[0], each[1], "≥ 1" if index == 0 else "", more_is_better=index == 0)


def memory_of_open_calls(side: Side) -> float:
    """What a call of Subscribe that stays open adds to the daemon, in KiB."""
    with side.client() as (driver, client):

        async def open_all() -> None:
            for _ in range(OPEN_CALLS):
                stream = client.stream(SUBSCRIBE)
                await stream.send(events_pb2.SubscribeRequest())
                await stream.close_send()
            await client.unary(VERSION, Empty())

        driver.run(client.unary(VERSION, Empty()))
        before = memory_kib(side.pid, "Private_Dirty")
        driver.run(open_all())
        time.sleep(0.5)
        return (memory_kib(side.pid, "Private_Dirty") - before) / OPEN_CALLS


def measured(ours: Side, stock: Side, runs: int) -> Iterator[Pair]:
    """All pairs."""
    for what, measure in (
        ("Version, our client", small_call),
        ("Version, grpcio", small_call_of_grpcio),
        ("Forward over ttrpc, our client", small_call_of_ttrpc),
    ):
        for share in (0.5, 0.99):
            of = measure(share)
            figures = in_turn(lambda of=of: of(ours), lambda of=of: of(stock), runs)  # type: ignore[misc]
            yield Pair(f"{what}, p{share * 100:.0f}", "ms", *figures, "≤ 1.1" if share == 0.5 else "")
    yield from streams((ours, stock), runs)
    first = (memory_of_open_calls(ours),), (memory_of_open_calls(stock),)
    yield Pair(f"memory of an open call, {OPEN_CALLS} open", "KiB", *first)


def _pid_behind(address: str) -> int:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(address)
        pid: int = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        return pid


@contextlib.contextmanager
def both_daemons() -> Iterator[tuple[str, str]]:
    """Starts a daemon of ours and one of stock, on a tmpfs; their addresses."""
    from tests.harness.daemon import OURS, STOCK, Daemon
    from tests.harness.machine import MARK, SESSION

    os.environ[MARK] = SESSION
    base = Path("/dev/shm") / SESSION
    base.mkdir(mode=0o700)
    try:
        with Daemon.start(OURS, base / "o") as ours, Daemon.start(STOCK, base / "s") as stock:
            yield str(ours.address), str(stock.address)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def main() -> None:
    """Measures and prints a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ours", help="address of a daemon of ours")
    parser.add_argument("--stock", help="address of a stock daemon")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    given = options.ours and options.stock
    with contextlib.nullcontext((options.ours, options.stock)) if given else both_daemons() as (ours, stock):
        print(HEADER)
        for pair in measured(Side(ours), Side(stock), options.runs):
            print(pair.row(), flush=True)


if __name__ == "__main__":
    main()
