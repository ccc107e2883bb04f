"""Figures by the number of images: `python -m benchmarks.scale [--sizes 100 1000 …] [--base DIR]`, as root.

Each image has five small blobs and a chain of two snapshots, made through the API. Ours and stock have the same client
and the same directory, on ext4 or on a tmpfs. A line tells the medians, their ratio, and how much ours grew since the
size before. `tick` is the 99th percentile of the time that a Version call takes while the collector runs.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import os
import shutil
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from benchmarks.measures import MILLI, memory_kib, percentile
from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.content import v1_pb2 as content_pb2
from pycontainerd.api.containerd.services.images import v1_pb2 as images_pb2
from pycontainerd.api.containerd.services.leases import v1_pb2 as leases_pb2
from pycontainerd.api.containerd.services.snapshots import v1_pb2 as snapshots_pb2
from pycontainerd.api.containerd.services.version import v1_pb2 as version_pb2
from pycontainerd.rpc.asyncio_driver import AsyncioDriver
from pycontainerd.rpc.call import Metadata
from pycontainerd.rpc.grpc.client import GrpcClient
from pycontainerd.rpc.service import Method, methods_of
from tests.harness.daemon import OURS, STOCK, Daemon
from tests.harness.machine import MARK, SESSION

NAMESPACE: Final = "scale"
LEASE: Final = "filling"
SNAPSHOTTER: Final = "overlayfs"
AT_ONCE: Final = 32
INGESTS: Final = 64
INGEST_BYTES: Final = 1 << 20
SINGLE_CALLS: Final = 200
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"


def _methods(service: ServiceDescriptor) -> dict[str, Method]:
    return dict(methods_of(service))


CONTENT: Final = _methods(content_pb2.DESCRIPTOR.services_by_name["Content"])
IMAGES: Final = _methods(images_pb2.DESCRIPTOR.services_by_name["Images"])
LEASES: Final = _methods(leases_pb2.DESCRIPTOR.services_by_name["Leases"])
SNAPSHOTS: Final = _methods(snapshots_pb2.DESCRIPTOR.services_by_name["Snapshots"])
VERSION: Final = _methods(version_pb2.DESCRIPTOR.services_by_name["Version"])


class Caller:
    """A connection to one daemon."""

    def __init__(self, client: GrpcClient) -> None:
        self._client = client
        self.headers: Metadata = (("containerd-namespace", NAMESPACE),)

    @classmethod
    async def connected(cls, daemon: Daemon) -> Caller:
        driver = AsyncioDriver()
        client = GrpcClient(driver)
        await driver.connect_unix(str(daemon.address), client)
        return cls(client)

    async def call(self, method: Method, request: Message) -> Any:
        return await self._client.unary(method, request, metadata=self.headers)

    async def stream(self, method: Method, *requests: Message) -> list[Any]:
        async with self._client.stream(method, metadata=self.headers) as stream:
            for request in requests:
                await stream.send(request)
            await stream.close_send()
            return [reply async for reply in stream]

    async def store(self, ref: str, data: bytes, labels: dict[str, str]) -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        request = content_pb2.WriteContentRequest(
            action=content_pb2.COMMIT, ref=ref, total=len(data), expected=digest, data=data, labels=labels
        )
        await self.stream(CONTENT["write"], request)
        return digest

    async def close(self) -> None:
        await self._client.close()


async def fill(caller: Caller, numbers: range) -> None:
    """Makes the images of these *numbers*, each held by its name alone in the end."""
    plain = caller.headers
    await caller.call(LEASES["create"], leases_pb2.CreateRequest(id=LEASE))
    caller.headers = (*plain, ("containerd-lease", LEASE))
    waiting = iter(numbers)

    async def work() -> None:
        for number in waiting:
            await make(caller, number)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())
    caller.headers = plain
    await caller.call(LEASES["delete"], leases_pb2.DeleteRequest(id=LEASE))


async def make(caller: Caller, number: int) -> None:
    """One image: a manifest that names a config and three layers; the config holds the snapshots."""
    parent = ""
    for depth in range(2):
        name, key = f"s{number}-{depth}", f"a{number}-{depth}"
        prepare = snapshots_pb2.PrepareSnapshotRequest(snapshotter=SNAPSHOTTER, key=key, parent=parent)
        await caller.call(SNAPSHOTS["prepare"], prepare)
        commit = snapshots_pb2.CommitSnapshotRequest(snapshotter=SNAPSHOTTER, name=name, key=key)
        await caller.call(SNAPSHOTS["commit"], commit)
        parent = name
    labels = {f"containerd.io/gc.ref.snapshot.{SNAPSHOTTER}": parent, "number": str(number)}
    parts = [await caller.store(f"c{number}", f"config {number}".encode(), labels)]
    parts += [await caller.store(f"l{number}-{n}", f"layer {number} {n}".encode(), {"layer": str(n)}) for n in range(3)]
    refs = {f"containerd.io/gc.ref.content.{n}": digest for n, digest in enumerate(parts)}
    data = f"manifest {number}".encode()
    manifest = await caller.store(f"m{number}", data, refs)
    image = images_pb2.Image(
        name=f"example.local/image:{number}",
        labels={"number": str(number), "even": str(number % 2)},
        target=types_pb2.Descriptor(media_type=MANIFEST, digest=manifest, size=len(data)),
    )
    await caller.call(IMAGES["create"], images_pb2.CreateImageRequest(image=image))


async def timed(action: Callable[[], Awaitable[object]], times: int) -> float:
    """The median of some runs in ms."""
    samples = []
    for _ in range(times):
        begin = time.perf_counter()
        await action()
        samples.append(time.perf_counter() - begin)
    return MILLI * statistics.median(samples)


Figures = dict[str, float]


async def measured(caller: Caller, size: int) -> Figures:
    """All figures of a filled daemon that a client can take, in ms."""
    picks = itertools.cycle(range(0, size, max(1, size // 50)))
    figures: Figures = {}
    listing = 9 if size <= 1_000 else 3

    async def image(method: str, request: Callable[[str], Message]) -> None:
        await caller.call(IMAGES[method], request(f"example.local/image:{next(picks)}"))

    def update(name: str) -> Message:
        # Stock ends when the target is missing, though the mask doesn't name it.
        target = types_pb2.Descriptor(media_type=MANIFEST, digest=f"sha256:{'0' * 64}")
        changed = images_pb2.Image(name=name, labels={"seen": str(time.monotonic_ns())}, target=target)
        return images_pb2.UpdateImageRequest(image=changed, update_mask=FieldMask(paths=["labels.seen"]))

    async def info() -> None:
        digest = hashlib.sha256(f"config {next(picks)}".encode()).hexdigest()
        await caller.call(CONTENT["info"], content_pb2.InfoRequest(digest=f"sha256:{digest}"))

    async def stat() -> None:
        request = snapshots_pb2.StatSnapshotRequest(snapshotter=SNAPSHOTTER, key=f"s{next(picks)}-1")
        await caller.call(SNAPSHOTS["stat"], request)

    async def images(*filters: str) -> None:
        await caller.call(IMAGES["list"], images_pb2.ListImagesRequest(filters=filters))

    async def content(*filters: str) -> None:
        await caller.stream(CONTENT["list"], content_pb2.ListContentRequest(filters=filters))

    async def snapshots(*filters: str) -> None:
        request = snapshots_pb2.ListSnapshotsRequest(snapshotter=SNAPSHOTTER, filters=filters)
        await caller.stream(SNAPSHOTS["list"], request)

    figures["get image"] = await timed(lambda: image("get", lambda n: images_pb2.GetImageRequest(name=n)), SINGLE_CALLS)
    figures["update image"] = await timed(lambda: image("update", update), SINGLE_CALLS)
    figures["info of content"] = await timed(info, SINGLE_CALLS)
    figures["stat snapshot"] = await timed(stat, SINGLE_CALLS)
    figures["list images"] = await timed(images, listing)
    figures["list content"] = await timed(content, listing)
    figures["list snapshots"] = await timed(snapshots, listing)
    figures["filter images by label"] = await timed(lambda: images("labels.number==7"), listing)
    figures["filter content by label"] = await timed(lambda: content("labels.number==7"), listing)
    figures["filter snapshots by name"] = await timed(lambda: snapshots("name==s7-1"), listing)
    figures |= await collecting(caller, size)
    figures[f"{INGESTS} ingests of 1 MiB at once"] = await timed(lambda: ingest(caller), 3)
    return figures


async def collecting(caller: Caller, size: int) -> Figures:
    """The collector's run with one image to take, and what others wait meanwhile."""
    gone = itertools.count(size - 1, -1)
    ticks: list[float] = []

    async def collect() -> None:
        request = images_pb2.DeleteImageRequest(name=f"example.local/image:{next(gone)}", sync=True)
        deleting = caller.call(IMAGES["delete"], request)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(deleting)
            while not task.done():
                begin = time.perf_counter()
                await caller.call(VERSION["version"], Empty())
                ticks.append(time.perf_counter() - begin)

    return {"gc run": await timed(collect, 5), "tick": MILLI * percentile(ticks, 0.99)}


_refs: Final = itertools.count()


async def ingest(caller: Caller) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(INGESTS):
            data = os.urandom(32) * (INGEST_BYTES // 32)
            group.create_task(caller.store(f"ingest-{next(_refs)}", data, {}))


@dataclass
class Side:
    """One daemon that grows."""

    daemon: Daemon
    filled: int = 0
    by_size: dict[int, Figures] = field(default_factory=dict)

    def grow(self, size: int) -> None:
        """Fills the daemon up to *size* images, starts it anew, and measures."""
        begin = time.perf_counter()
        asyncio.run(self._with_caller(lambda caller: fill(caller, range(self.filled, size))))
        making = MILLI * (time.perf_counter() - begin) / (size - self.filled)
        self.daemon.stop()
        begin = time.perf_counter()
        self.daemon.up()
        figures: Figures = {"make an image": making, "start-up": MILLI * (time.perf_counter() - begin)}

        async def measure(caller: Caller) -> None:
            figures.update(await measured(caller, size))

        asyncio.run(self._with_caller(measure))
        figures["RSS, MiB"] = memory_kib(self.daemon.pid, "Rss") / 1024
        self.by_size[size] = figures
        self.filled = size

    async def _with_caller(self, action: Callable[[Caller], Awaitable[None]]) -> None:
        caller = await Caller.connected(self.daemon)
        try:
            await action(caller)
        finally:
            await caller.close()


def report(ours: Side, stock: Side, sizes: Sequence[int]) -> None:
    print("| images | what | ours, ms | stock, ms | ours / stock | ours grew | stock grew |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for before, size in zip((None, *sizes), sizes, strict=False):
        for what, value in ours.by_size[size].items():
            other = stock.by_size[size][what]
            grew = ("", "")
            if before is not None:
                grew = (f"{value / ours.by_size[before][what]:.1f}", f"{other / stock.by_size[before][what]:.1f}")
            print(f"| {size} | {what} | {value:.3g} | {other:.3g} | {value / other:.2f} | {' | '.join(grew)} |")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000])
    parser.add_argument("--base", type=Path, default=Path("/dev/shm"), help="a directory on ext4 or tmpfs")
    arguments = parser.parse_args()
    os.environ[MARK] = SESSION
    base = arguments.base / f"scale-{SESSION}"
    try:
        with ExitStack() as stack:
            sides = [Side(stack.enter_context(Daemon.start(kind, base / str(kind)))) for kind in (OURS, STOCK)]
            for size in arguments.sizes:
                for side in sides:
                    side.grow(size)
            report(sides[0], sides[1], arguments.sizes)
    finally:
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
