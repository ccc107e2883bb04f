"""The Python SDK against a daemon: blocking and async, the same client."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from pycontainerd.api.containerd.services.containers.v1_pb2 import Container
from pycontainerd.api.containerd.types.transfer_pb2 import ImageStore, Progress
from pycontainerd.client import connect
from pycontainerd.client.beside import Beside
from pycontainerd.client.blocking import BlockingClient
from pycontainerd.client.client import Client
from pycontainerd.client.connection import connected
from pycontainerd.client.image_content import ImageContent, descriptor_of
from pycontainerd.client.unpacking import unpack
from pycontainerd.errors import AlreadyExists, DeadlineExceeded, FailedPrecondition, NotFound, Unavailable
from pycontainerd.oci import platforms
from pycontainerd.rpc.blocking_driver import BlockingDriver
from tests.conftest import IMAGE
from tests.harness.daemon import OURS, STOCK, Daemon


@pytest.fixture(scope="module", params=[STOCK, OURS], ids=str)
def daemon(request: pytest.FixtureRequest, session_base: Path) -> Iterator[Daemon]:
    with Daemon.start(request.param, session_base / f"client-{request.param}") as started:
        yield started


@pytest.fixture
def client(daemon: Daemon) -> Iterator[BlockingClient]:
    with connect(str(daemon.address), namespace=daemon.namespace) as connection:
        yield connection


def container(name: str, **labels: str) -> Container:
    made = Container(id=name, labels=labels, runtime=Container.Runtime(name="r"))
    made.spec.type_url = "example"
    return made


def test_a_record_is_made_found_changed_and_removed(client: BlockingClient) -> None:
    made = client.containers.create(container("c", a="b"))
    assert client.containers.get("c") == made
    with pytest.raises(AlreadyExists, match='container "c"'):
        client.containers.create(container("c"))
    changed = client.containers.update(Container(id="c", labels={"x": "y"}), ["labels.x"])
    assert dict(changed.labels) == {"a": "b", "x": "y"}
    assert [each.id for each in client.containers.list("labels.x==y")] == ["c"]
    client.containers.delete("c")
    with pytest.raises(NotFound, match='container "c" in namespace'):
        client.containers.get("c")


def test_a_typed_call_reaches_the_async_method(client: BlockingClient) -> None:
    version = client.call(client.wrapped.version.get)
    assert version.version
    assert client.introspection.server().uuid


@pytest.mark.parametrize("size", [0, 1, 3 << 20])
def test_what_is_ingested_is_read_again(client: BlockingClient, size: int) -> None:
    data = os.urandom(size) + b"end"
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    with client.leased() as held, held.content.ingest(f"ref-{size}", total=len(data)) as ingest:
        ingest.write(data)
        assert ingest.commit(expected=digest) == digest
        assert client.content.info(digest).size == len(data)
        assert b"".join(client.content.read(digest)) == data
        assert b"".join(client.content.read(digest, 1, 2)) == data[1:3]
        client.content.delete(digest)


def test_an_ingest_that_is_left_is_kept_for_a_resume(client: BlockingClient) -> None:
    with client.content.ingest("left") as ingest:
        ingest.write(b"half")
    assert [(status.ref, status.offset) for status in client.content.statuses("ref==left")] == [("left", 4)]
    with client.content.ingest("left") as ingest:
        assert ingest.offset == 4
    client.content.abort("left")


def test_a_wrong_digest_is_refused(client: BlockingClient) -> None:
    with client.content.ingest("wrong") as ingest:
        ingest.write(b"x")
        with pytest.raises(FailedPrecondition, match="unexpected commit digest"):
            ingest.commit(expected="sha256:" + "0" * 64)
    client.content.abort("wrong")


def test_an_iterator_that_is_left_ends_its_call(client: BlockingClient) -> None:
    with client.leased() as held, held.content.ingest("long") as ingest:
        ingest.write(os.urandom(4 << 20))
        digest = ingest.commit()
        reading = client.content.read(digest)
        assert next(reading)
        reading.close()
        assert client.version.get().version
        client.content.delete(digest)


@pytest.fixture(autouse=True)
def no_container_left(daemon: Daemon) -> Iterator[None]:
    yield
    for name in daemon.ctr("containers", "ls", "-q").lines:
        daemon.ctr("containers", "rm", name)


def test_a_lease_ends_with_its_block(client: BlockingClient) -> None:
    with client.leased() as held:
        lease = held.wrapped.lease
        assert [each.id for each in client.leases.list()] == [lease]
    assert client.leases.list() == []


def test_another_namespace_is_another_world(client: BlockingClient, daemon: Daemon) -> None:
    other = client.in_namespace(f"{daemon.namespace}-other")
    other.containers.create(container("there"))
    assert [each.id for each in client.containers.list()] == []
    other.containers.delete("there")
    client.namespaces.delete(f"{daemon.namespace}-other")


def test_events_arrive_while_others_call(daemon: Daemon) -> None:
    async def seen(driver: BlockingDriver) -> list[str]:
        client = await connected(driver, str(daemon.address), namespace=daemon.namespace)
        topics: list[str] = []
        async with client.events.subscribe(f"namespace=={daemon.namespace}") as events, Beside(driver) as beside:
            beside.start(_changes(driver, client), name="changes")
            async for envelope in events:
                topics.append(envelope.topic)
                if topics[-2:] == ["/containers/create", "/containers/delete"]:
                    break
        return topics[-2:]

    with BlockingDriver() as driver:
        assert driver.run(seen(driver)) == ["/containers/create", "/containers/delete"]


async def _changes(driver: BlockingDriver, client: Client) -> None:
    """Again and again: a daemon doesn't say when it has taken a subscription."""
    while True:
        await client.containers.create(container("noisy"))
        await client.containers.delete("noisy")
        await driver.sleep(0.05)


def test_an_archive_is_imported_and_named_again(daemon: Daemon, busybox_archive: Path) -> None:
    archive = busybox_archive.read_bytes()

    async def imported(driver: BlockingDriver) -> tuple[list[str], list[str]]:
        client = await connected(driver, str(daemon.address), namespace=daemon.namespace)
        store = ImageStore()
        store.extra_references.add(name="import", is_prefix=True, allow_overwrite=True)
        heard: list[Progress] = []
        await client.transfer.import_archive(_parts(archive), store, tell=heard.append)
        await client.transfer.tag(IMAGE, "example.local/again:1")
        names = [image.name for image in await client.images.list()]
        await _unpack_again(client)
        for name in names:
            await client.images.delete(name, sync=True)
        return names, [progress.event for progress in heard]

    with BlockingDriver() as driver:
        names, events = driver.run(imported(driver))
    assert names == ["example.local/again:1", IMAGE]
    assert "saved" in events


async def _unpack_again(client: Client) -> None:
    """An import without unpacking leaves the snapshots to whoever runs the image."""
    image = await client.images.get(IMAGE)
    chosen = await ImageContent(client.content).choose(descriptor_of(image.target), platforms.default(), name=IMAGE)
    snapshots = client.snapshots("overlayfs")
    assert not await snapshots.exists(chosen.chain_id)
    async with client.leased() as held:
        await unpack(held, held.snapshots("overlayfs"), chosen)
        assert await snapshots.exists(chosen.chain_id)
        await unpack(held, held.snapshots("overlayfs"), chosen)


async def _parts(data: bytes) -> AsyncIterator[bytes]:
    while data:
        yield bytes(data[:100_000])
        data = data[100_000:]


def test_an_archive_that_breaks_off_is_an_error_of_its_reader(daemon: Daemon, busybox_archive: Path) -> None:
    class Broken(Exception):
        pass

    part = busybox_archive.read_bytes()[:70_000]

    async def breaking() -> AsyncIterator[bytes]:
        yield part
        raise Broken

    async def imported(driver: BlockingDriver) -> None:
        client = await connected(driver, str(daemon.address), namespace=daemon.namespace)
        await client.transfer.import_archive(breaking(), ImageStore(name="broken"), tell=lambda _: None)

    with BlockingDriver() as driver, pytest.raises(Broken):
        driver.run(imported(driver))


def test_a_deadline_ends_a_call(daemon: Daemon) -> None:
    async def waiting(driver: BlockingDriver) -> Any:
        client = await connected(driver, str(daemon.address), namespace=daemon.namespace, remaining_s=lambda: 0.2)
        async with client.events.subscribe("topic==never") as events:
            return await anext(events)

    with BlockingDriver() as driver, pytest.raises(DeadlineExceeded):
        driver.run(waiting(driver))


def test_nobody_at_the_socket_is_told_from_no_socket(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="cannot access socket"):
        connect(str(tmp_path / "nothing"))
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="connection refused"):
        connect(str(tmp_path / "file"))
