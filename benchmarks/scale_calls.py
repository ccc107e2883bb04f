"""What the benchmark of scale asks of a daemon: images made through the API, and what clients ask of them."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.content import v1_pb2 as content_pb2
from pycontainerd.api.containerd.services.images import v1_pb2 as images_pb2
from pycontainerd.api.containerd.services.leases import v1_pb2 as leases_pb2
from pycontainerd.api.containerd.services.snapshots import v1_pb2 as snapshots_pb2
from pycontainerd.rpc.asyncio_driver import AsyncioDriver
from pycontainerd.rpc.call import Metadata
from pycontainerd.rpc.grpc.client import GrpcClient
from pycontainerd.rpc.service import Method, methods_of
from tests.harness.daemon import Daemon

NAMESPACE: Final = "scale"
LEASE: Final = "filling"
SNAPSHOTTER: Final = "overlayfs"
AT_ONCE: Final = 32
INGESTS: Final = 64
INGEST_BYTES: Final = 1 << 20
TOGETHER: Final = 50
"""Single calls in one sample."""
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"


def _methods(service: ServiceDescriptor) -> dict[str, Method]:
    return dict(methods_of(service))


CONTENT: Final = _methods(content_pb2.DESCRIPTOR.services_by_name["Content"])
IMAGES: Final = _methods(images_pb2.DESCRIPTOR.services_by_name["Images"])
LEASES: Final = _methods(leases_pb2.DESCRIPTOR.services_by_name["Leases"])
SNAPSHOTS: Final = _methods(snapshots_pb2.DESCRIPTOR.services_by_name["Snapshots"])


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


def name_of(number: int) -> str:
    """The name of an image."""
    return f"example.local/image:{number}"


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
        name=name_of(number),
        labels={"number": str(number), "even": str(number % 2)},
        target=types_pb2.Descriptor(media_type=MANIFEST, digest=manifest, size=len(data)),
    )
    await caller.call(IMAGES["create"], images_pb2.CreateImageRequest(image=image))


_refs: Final = itertools.count()


async def ingest(caller: Caller) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(INGESTS):
            data = os.urandom(32) * (INGEST_BYTES // 32)
            group.create_task(caller.store(f"ingest-{next(_refs)}", data, {}))


Action = Callable[[Caller], Awaitable[object]]


def single(size: int) -> Mapping[str, Action]:
    """Calls about one object, TOGETHER of them in turn: each is to cost the same however many there are.

    The last tenth of the images is left to be deleted.
    """
    picks = itertools.cycle(range(0, max(1, size - size // 10), max(1, size // 97)))

    def repeated(call: Callable[[Caller, int], Awaitable[object]]) -> Action:
        async def action(caller: Caller) -> None:
            for _ in range(TOGETHER):
                await call(caller, next(picks))

        return action

    async def get(caller: Caller, number: int) -> None:
        await caller.call(IMAGES["get"], images_pb2.GetImageRequest(name=name_of(number)))

    async def update(caller: Caller, number: int) -> None:
        target = types_pb2.Descriptor(size=1)  # stock dereferences it, whatever the mask says
        changed = images_pb2.Image(name=name_of(number), labels={"seen": str(next(_refs))}, target=target)
        mask = FieldMask(paths=["labels.seen"])
        await caller.call(IMAGES["update"], images_pb2.UpdateImageRequest(image=changed, update_mask=mask))

    async def info(caller: Caller, number: int) -> None:
        digest = hashlib.sha256(f"config {number}".encode()).hexdigest()
        await caller.call(CONTENT["info"], content_pb2.InfoRequest(digest=f"sha256:{digest}"))

    async def stat(caller: Caller, number: int) -> None:
        request = snapshots_pb2.StatSnapshotRequest(snapshotter=SNAPSHOTTER, key=f"s{number}-1")
        await caller.call(SNAPSHOTS["stat"], request)

    calls = {"get image": get, "update image": update, "info of content": info, "stat snapshot": stat}
    return {what: repeated(call) for what, call in calls.items()}


def _images(*filters: str) -> Action:
    return lambda caller: caller.call(IMAGES["list"], images_pb2.ListImagesRequest(filters=filters))


def _content(*filters: str) -> Action:
    return lambda caller: caller.stream(CONTENT["list"], content_pb2.ListContentRequest(filters=filters))


def _snapshots(*filters: str) -> Action:
    request = snapshots_pb2.ListSnapshotsRequest(snapshotter=SNAPSHOTTER, filters=filters)
    return lambda caller: caller.stream(SNAPSHOTS["list"], request)


LISTINGS: Final[Mapping[str, Action]] = {
    "list images": _images(),
    "list content": _content(),
    "list snapshots": _snapshots(),
    "filter images by label": _images("labels.number==7"),
    "filter content by label": _content("labels.number==7"),
    "filter content by pattern": _content("labels.number~=^7$"),
    "filter snapshots by name": _snapshots("name==s7-1"),
    "filter snapshots by label": _snapshots("labels.number==7"),
}


async def collect(caller: Caller, number: int) -> None:
    """Deletes an image and waits until what only it held is collected: five blobs and two snapshots."""
    await caller.call(IMAGES["delete"], images_pb2.DeleteImageRequest(name=name_of(number), sync=True))
