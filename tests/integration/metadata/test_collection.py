"""What a collection takes and what it leaves: the same cases against stock, which is right, and ours."""

from __future__ import annotations

import itertools
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from pycontainerd.api.containerd.services.content import v1_pb2 as ct
from pycontainerd.api.containerd.services.images import v1_pb2 as im
from pycontainerd.api.containerd.services.leases import v1_pb2 as ls
from tests.harness.asking import over_socket
from tests.harness.daemon import OURS, STOCK, Daemon
from tests.integration.metadata.house import HELPER, House, refs
from tests.integration.metadata.questions import IMAGES, LEASES

PAST: Final = "2001-01-01T00:00:00Z"
FUTURE: Final = "2199-01-01T00:00:00Z"


def test_an_image_holds_what_its_target_refers_to(house: House) -> None:
    layer, config, other = house.blob("layer"), house.blob("config"), house.blob("other")
    manifest = house.blob("manifest", refs("content", layer, config))
    house.image("i", manifest)
    house.collect()
    assert house.blobs() == {layer, config, manifest}
    assert other not in house.blobs_on_disk()
    assert {layer, config, manifest} <= house.blobs_on_disk()


def test_a_deleted_image_lets_go_of_everything(house: House) -> None:
    layer = house.blob("layer")
    house.image("i", house.blob("manifest", refs("content", layer)))
    house.collect()
    house.ask(IMAGES, "delete", im.DeleteImageRequest(name="i", sync=True), lease="")
    assert house.blobs() == set()
    assert layer not in house.blobs_on_disk()


def test_an_images_own_labels_refer_as_well(house: House) -> None:
    one, two = house.blob("one"), house.blob("two")
    house.image("i", "sha256:" + "0" * 64, refs("content", one))
    house.image("j", "sha256:" + "0" * 64, {"containerd.io/gc.ref.contentx": two})
    house.collect()
    assert house.blobs() == {one}


@pytest.mark.parametrize("key", ["containerd.io/gc.root", "containerd.io/gc.root.any", "containerd.io/gc.rootless"])
def test_a_root_label_holds_a_blob_and_what_it_refers_to(key: str, house: House) -> None:
    needed = house.blob("needed")
    root = house.blob("root", {key: "x", **refs("content", needed)})
    house.collect()
    assert house.blobs() == {needed, root}


def test_an_expired_image_goes_and_one_with_a_bad_time_stays(house: House) -> None:
    digests = [house.blob(name) for name in ("past", "future", "bad")]
    for name, digest, expires in zip("pfb", digests, (PAST, FUTURE, "soon"), strict=True):
        house.image(name, digest, {"containerd.io/gc.expire": expires})
    house.collect()
    assert house.images() == {"f", "b"}
    assert house.blobs() == set(digests[1:])


def test_an_expired_image_that_is_referred_to_stays(house: House) -> None:
    target = house.blob("target")
    house.image("held", target, {"containerd.io/gc.expire": PAST})
    house.image("holder", "sha256:" + "0" * 64, refs("image", "held"))
    house.collect()
    assert house.images() == {"held", "holder"}
    assert house.blobs() == {target}


def test_an_expired_lease_goes_with_what_it_held(house: House) -> None:
    past, future = house.blob("past"), house.blob("future")
    house.lease("past", {"containerd.io/gc.expire": PAST}, ("content", past))
    house.lease("future", {"containerd.io/gc.expire": FUTURE}, ("content", future))
    house.collect()
    assert (house.leases(), house.blobs()) == ({"future"}, {future})


def test_a_flat_lease_holds_what_it_names_and_a_snapshots_parents(house: House) -> None:
    needed = house.blob("needed")
    blob = house.blob("blob", refs("content", needed))
    target = house.blob("target", refs("content", needed))
    house.image("i", target, {"containerd.io/gc.expire": PAST, **refs("content", needed)})
    house.snapshot("parent", labels={"containerd.io/gc.ref.content": needed})
    house.snapshot("child", "parent")
    house.snapshot("other")
    held = [("content", blob), ("images", "i"), ("snapshots/native", "child")]
    house.lease("flat", {"containerd.io/gc.flat": "any"}, *held)
    house.collect()
    assert house.blobs() == {blob, target}
    assert house.images() == {"i"}
    assert house.snapshots() == {"parent", "child"}


def test_a_lease_holds_what_its_resources_refer_to(house: House) -> None:
    needed, target = house.blob("needed"), house.blob("target")
    house.snapshot("s", labels=refs("content", needed))
    house.image("i", target, {"containerd.io/gc.expire": PAST})
    house.lease("l", {}, ("snapshots/native", "s"), ("images", "i"), ("content", "sha256:" + "0" * 64))
    house.collect()
    assert (house.blobs(), house.snapshots(), house.images()) == ({needed, target}, {"s"}, {"i"})


def test_a_blob_refers_to_snapshots(house: House) -> None:
    house.snapshot("parent")
    house.snapshot("child", "parent")
    house.snapshot("other")
    config = house.blob("config", {"containerd.io/gc.ref.snapshot.native/1": "child"})
    house.image("i", config)
    house.collect()
    assert house.snapshots() == {"parent", "child"}


def test_a_container_holds_its_snapshot_and_labels_but_not_its_image(house: House) -> None:
    named, labelled = house.blob("target"), house.blob("labelled")
    house.image("i", named, {"containerd.io/gc.expire": PAST})
    house.snapshot("parent")
    house.snapshot("child", "parent")
    house.snapshot("other")
    house.container("c", "child", refs("content", labelled), image="i")
    house.collect()
    assert (house.snapshots(), house.blobs(), house.images()) == ({"parent", "child"}, {labelled}, set())


def test_a_back_reference_lives_with_its_parent(house: House) -> None:
    base = "containerd.io/gc.bref."
    house.snapshot("held", labels={f"{base}container": "c"})
    house.container("c")
    held_by_container = house.blob("by container", {f"{base}container.x": "c"})
    target = house.blob("target")
    house.image("i", target)
    held_by_image = house.blob("by image", {f"{base}image/x": "i"})
    held_by_blob = house.blob("by blob", {f"{base}content.x": target})
    house.snapshot("by snapshot", labels={f"{base}snapshot.native/x": "held"})
    lost = house.blob("lost", {f"{base}image": "nope"})
    house.collect()
    assert house.blobs() == {held_by_container, target, held_by_image, held_by_blob}
    assert lost not in house.blobs_on_disk()
    assert house.snapshots() == {"held", "by snapshot"}


def test_what_is_held_flat_does_not_hold_those_that_name_it(house: House) -> None:
    blob = house.blob("blob")
    house.blob("by blob", {"containerd.io/gc.bref.content": blob})
    house.snapshot("s")
    house.snapshot("by snapshot", labels={"containerd.io/gc.bref.snapshot.native": "s"})
    house.lease("flat", {"containerd.io/gc.flat": "any"}, ("content", blob), ("snapshots/native", "s"))
    house.collect()
    assert (house.blobs(), house.snapshots()) == ({blob}, {"s"})


def test_an_ingest_lives_for_a_day_or_by_its_lease(house: House) -> None:
    house.lease("l")
    house.ingest("by itself")
    house.ingest("by lease", lease="l")
    house.collect()
    assert house.ingests() == {"by itself", "by lease"}
    house.ask(LEASES, "delete", ls.DeleteRequest(id="l", sync=True), lease="")
    assert house.ingests() == {"by itself"}
    assert len(list((house.daemon.root / "io.containerd.content.v1.content/ingest").iterdir())) == 1


def test_namespaces_share_bytes_but_not_lives(house: House) -> None:
    other = House(house.daemon, house.asker, f"{house.namespace}-other")
    other.lease(HELPER)
    data = f"{house.namespace} shared".encode()
    digest = house.blob("shared")
    request = ct.WriteContentRequest(action=ct.COMMIT, ref="x", data=data, total=len(data), expected=digest)
    other.write(request, lease=HELPER)
    house.collect()
    assert (house.blobs(), other.blobs()) == (set(), {digest})
    assert digest in house.blobs_on_disk()
    other.collect()
    assert digest not in house.blobs_on_disk()


def test_what_a_collection_removes_is_told(house: House) -> None:
    house.snapshot("s")
    house.image("i", house.blob("target"), {"containerd.io/gc.expire": PAST})
    command = [str(STOCK.program("ctr")), "-a", str(house.daemon.address), "events"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=house.daemon.env()) as events:
        assert events.stdout is not None
        # The subscription stands when its first event comes; which one that is, does not matter.
        marks = itertools.count()
        reader = iter(events.stdout.readline, "")
        _await_subscription(house, reader, marks)
        house.collect()
        house.container("end")
        seen = _until(reader, "/containers/create")
        events.terminate()
    told = {tuple(line.split()[-3:]) for line in seen}
    assert any("/images/delete" in line and '"name":"i"' in line and house.namespace in line for line in seen), told
    assert any("/snapshot/remove" in line and '"key":"s"' in line and house.namespace in line for line in seen), told
    assert len([line for line in seen if house.namespace + " " in line]) == 3


def _await_subscription(house: House, reader: Iterator[str], marks: Iterator[int]) -> None:
    heard = threading.Event()

    def listen() -> None:
        next(reader)
        heard.set()

    thread = threading.Thread(target=listen)
    thread.start()
    while not heard.wait(0.05):
        house.container(f"mark{next(marks)}")
    thread.join()
    house.image("mark-end", "sha256:" + "0" * 64)
    _until(reader, "/images/create")


def _until(reader: Iterator[str], topic: str) -> Sequence[str]:
    seen = []
    for line in reader:
        seen.append(line)
        if topic in line:
            break
    return seen


def test_a_root_without_its_metadata_is_refused_and_left_whole(session_base: Path) -> None:
    base = session_base / "gc-guard"
    with Daemon.start(OURS, base) as daemon:
        with over_socket(daemon.address) as asker:
            house = House(daemon, asker, "guard")
            house.lease(HELPER)
            digest = house.blob("kept")
        daemon.stop()
        metadata = daemon.root / "io.containerd.metadata.v1.bolt"
        for file in metadata.glob("meta.sqlite*"):
            file.rename(base / file.name)
        with pytest.raises(AssertionError, match="but no metadata"):
            daemon.up()
        daemon.process = None
        assert digest in house.blobs_on_disk()
        for file in base.glob("meta.sqlite*"):
            file.rename(metadata / file.name)
        daemon.up()
        with over_socket(daemon.address) as asker:
            assert House(daemon, asker, "guard").blobs() == {digest}


def test_stock_does_not_serve_our_root(session_base: Path) -> None:
    base = session_base / "gc-ours-first"
    with Daemon.start(OURS, base) as daemon:
        with over_socket(daemon.address) as asker:
            house = House(daemon, asker, "guard")
            house.lease(HELPER)
            digest = house.blob("kept")
        daemon.stop()
        daemon.kind = STOCK
        daemon.up()
        with over_socket(daemon.address) as asker, pytest.raises(Exception, match=r"unknown service|invalid database"):
            asker.ask(IMAGES, "list", im.ListImagesRequest(), namespace="guard")
        assert digest in house.blobs_on_disk()


def test_our_daemon_does_not_take_a_root_of_stock(session_base: Path) -> None:
    base = session_base / "gc-stock-first"
    with Daemon.start(STOCK, base) as daemon:
        daemon.stop()
        daemon.kind = OURS
        with pytest.raises(AssertionError, match="belongs to a containerd that is not pycontainerd"):
            daemon.up()
        daemon.process = None
