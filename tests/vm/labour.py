"""Runs in the virtual machine: checks what a cut has left, then works on it until the next cut.

    python -m tests.vm.labour /dev/vdb ext4 <number of this boot> <seed>

Everything is told to the host in lines of JSON, before it begins and after the daemon has acknowledged it; a line has
left the machine when its write returns. Names begin with the worker that owns them, so that each thing has one history.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pycontainerd.api.containerd.services.images import v1_pb2 as images_pb2
from pycontainerd.client.blocking import BlockingClient, connect
from pycontainerd.errors import Error
from tests.vm.agent import port

DISK: Final = Path("/mnt")
ROOT: Final = DISK / "root"
CONTENT: Final = ROOT / "io.containerd.content.v1.content"
LAYERS: Final = ROOT / "io.containerd.snapshotter.v1.overlayfs/snapshots"
DATABASE: Final = ROOT / "io.containerd.metadata.v1.bolt/meta.sqlite"
ADDRESS: Final = "/run/c.sock"
NAMESPACE: Final = "power"
WORKERS: Final = 3
HOLD: Final = "hold "
"""How the names of leases begin that hold the blob of an image in the making."""

ROOTED: Final = {"containerd.io/gc.root": "1"}
CONFIG: Final = f"""version = 4
root = '{ROOT}'
state = '/run/containerd'
imports = []
disabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.cri.v1.images', 'io.containerd.cri.v1.runtime', \
'io.containerd.podsandbox.controller.v1.podsandbox', 'io.containerd.nri.v1.nri']
[plugins.'io.containerd.server.v1.grpc']
  address = '{ADDRESS}'
[plugins.'io.containerd.server.v1.ttrpc']
  address = '{ADDRESS}.ttrpc'
"""
MOUNT_OPTIONS: Final = {"ext4": "noauto_da_alloc", "xfs": "defaults"}
"""ext4 would flush some files that programs forgot to sync: it shall not help."""


class Channel:
    """The lines that the host gets."""

    def __init__(self) -> None:
        self._file = open(port("told"), "wb", buffering=0)  # noqa: SIM115 - for the life of the machine
        self._lock = threading.Lock()

    def tell(self, *words: object) -> None:
        with self._lock:
            line = json.dumps(words).encode() + b"\n"
            while line:
                line = line[self._file.write(line) :]


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


# --- what a cut has left


class Findings:
    """What is there, as clients see it and as it lies on the disk."""

    def __init__(self, client: BlockingClient) -> None:
        self._client = client
        self.wrong: list[str] = []

    def look(self) -> dict[str, dict[str, Any]]:
        """What exists, by kind and name, each with what says that it is whole."""
        return {
            "blob": {info.digest: info.size for info in self._client.content.list() if self._is_whole(info)},
            "image": {image.name: image.target.digest for image in self._client.images.list()},
            "lease": {lease.id: "" for lease in self._client.leases.list()},
            "snapshot": {info.name: self._files(info.name, info.kind) for info in self._snapshots()},
        }

    def look_at_disk(self) -> None:
        """After a collection: the disk has what rows name and nothing else."""
        named = {info.digest.removeprefix("sha256:") for info in self._client.content.list()}
        self._compare("blobs", named, names(CONTENT / "blobs/sha256"))
        with sqlite3.connect(DATABASE) as connection:
            rows = {str(number) for (number,) in connection.execute("SELECT id FROM backend_snapshots")}
            # An ingest whose bytes were lost has a row all the same, until it expires.
            ingests = {
                hashlib.sha256(name.encode()).hexdigest()
                for (name,) in connection.execute("SELECT backend FROM ingests")
            }
            sound = connection.execute("PRAGMA integrity_check").fetchone()[0]
        self._compare("ingests", set(), names(CONTENT / "ingest") - ingests)
        self._compare("snapshots", rows, names(LAYERS))
        self._compare("database", {"ok"}, {sound})
        console = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
        self.wrong += [line for line in console.splitlines() if "EXT4-fs error" in line or "orruption" in line]

    def _compare(self, what: str, wanted: set[str], found: set[str]) -> None:
        if wanted != found:
            self.wrong.append(f"{what}: missing {sorted(wanted - found)}, too many {sorted(found - wanted)}")

    def _is_whole(self, info: Any) -> bool:
        data = b"".join(self._client.content.read(info.digest))
        if digest_of(data) != info.digest or len(data) != info.size:
            self.wrong.append(f"blob {info.digest} of {info.size} bytes is broken: {len(data)} bytes {data[:32]!r}")
        return True

    def _snapshots(self) -> list[Any]:
        found: list[Any] = self._client.snapshots("overlayfs").list()
        return found

    def _files(self, name: str, kind: int) -> str:
        """The files of a committed snapshot; nobody has said that those of another must be whole."""
        if kind != 3:
            return ""
        key = f"look {name}"
        layer = top(self._client.snapshots("overlayfs").view(key, name))
        self._client.snapshots("overlayfs").remove(key)
        return described(layer)


def names(directory: Path) -> set[str]:
    return set(os.listdir(directory)) if directory.exists() else set()


def top(mounts: Any) -> Path:
    """The directory of the uppermost layer of what a snapshotter says is to be mounted."""
    (mount,) = mounts
    options = dict(option.partition("=")[::2] for option in mount.options)
    return Path(options.get("upperdir") or options.get("lowerdir", "").split(":")[0] or mount.source)


def described(layer: Path) -> str:
    """The names and contents of the files of a layer, hashed."""
    files = [(path.name, digest_of(path.read_bytes())) for path in sorted(layer.rglob("*")) if path.is_file()]
    return digest_of(json.dumps(files).encode())


# --- what is done until the next


class Worker:
    """One client that brings and removes its own things, as its luck has it."""

    def __init__(self, number: int, boot: int, seed: int, channel: Channel) -> None:
        self.name = f"w{number}"
        self._fresh = (f"{self.name}-{boot}-{count}" for count in range(1_000_000))
        self._chance = random.Random(f"{seed} {boot} {number}")  # noqa: S311 - to be repeated
        self._channel = channel
        self._client = connect(ADDRESS, namespace=NAMESPACE, timeout_s=60)
        self._snapshots = self._client.snapshots("overlayfs")
        self._blobs = [info.digest for info in self._client.content.list() if info.labels.get("owner") == self.name]
        self._images = [image.name for image in self._client.images.list() if self._is_mine(image.name)]
        self._leases = [lease.id for lease in self._client.leases.list() if self._is_mine(lease.id)]
        infos = [info for info in self._snapshots.list() if self._is_mine(info.name)]
        self._layers = {info.name: info.parent for info in infos if info.kind == 3}
        self._active = [info.name for info in infos if info.kind != 3]

    def work(self) -> None:
        steps: list[tuple[Callable[[], None], int]] = [
            (self.bring_blob, 6),
            (self.bring_image, 3),
            (self.bring_layer, 6),
            (self.bring_active, 2),
            (self.bring_lease, 1),
            (self.drop_blob, 3),
            (self.drop_image, 2),
            (self.drop_layer, 3),
            (self.drop_active, 2),
            (self.collect, 1),
        ]
        while True:
            (step,) = self._chance.choices([step for step, _ in steps], [weight for _, weight in steps])
            step()

    def bring_blob(self) -> None:
        data = self._bytes()
        with self._told("blob", digest_of(data), len(data)) as digest:
            self._ingest(data, ROOTED | {"owner": self.name}, self._client)
        self._blobs.append(digest)

    def bring_image(self) -> None:
        """The blob of an image lives by the image; until it has one, by a lease that ends with the next boot."""
        lease = f"{HOLD}{next(self._fresh)}"
        self._client.leases.create(lease)
        data = self._bytes()
        with self._told("blob", digest_of(data), len(data)) as digest:
            self._ingest(data, {}, self._client.under_lease(lease))
            with self._told("image", next(self._fresh), digest) as name:
                image = images_pb2.Image(name=name)
                image.target.digest, image.target.media_type, image.target.size = digest, "text/plain", 1
                self._client.images.create(image)
        self._images.append(name)
        self._client.leases.delete(lease)

    def bring_layer(self) -> None:
        key, name = f"{next(self._fresh)}-key", next(self._fresh)
        parent = self._chance.choice(["", *self._layers]) if self._layers else ""
        with self._told("snapshot", key):
            layer = top(self._snapshots.prepare(key, parent, ROOTED))
        for count in range(self._chance.randrange(1, 12)):
            directory = layer / f"d{count % 3}"
            directory.mkdir(exist_ok=True)
            (directory / f"f{count}").write_bytes(self._chance.randbytes(self._chance.choice((0, 10, 5_000, 60_000))))
        with self._told("snapshot", key, gone=True), self._told("snapshot", name, described(layer)):
            self._snapshots.commit(name, key, ROOTED)
        self._layers[name] = parent

    def bring_active(self) -> None:
        with self._told("snapshot", next(self._fresh)) as key:
            self._snapshots.prepare(key, self._chance.choice(["", *self._layers]), ROOTED)
        self._active.append(key)

    def bring_lease(self) -> None:
        if self._leases:
            with self._told("lease", self._leases.pop(), gone=True) as lease:
                self._client.leases.delete(lease)
        with self._told("lease", next(self._fresh)) as lease:
            self._client.leases.create(lease)
        self._leases.append(lease)

    def drop_blob(self) -> None:
        if self._blobs:
            with self._told("blob", self._taken(self._blobs), gone=True) as digest:
                self._client.content.delete(digest)

    def drop_image(self) -> None:
        """Its blob goes with it, when the collector comes by."""
        if self._images:
            name = self._taken(self._images)
            digest = self._client.images.get(name).target.digest
            self._channel.tell("begin", "blob", digest, None)
            with self._told("image", name, gone=True):
                self._client.images.delete(name, sync=self._chance.random() < 0.5)

    def drop_layer(self) -> None:
        leaves = [name for name in self._layers if name not in self._layers.values()]
        used = {info.parent for info in self._snapshots.list()}
        leaves = [name for name in leaves if name not in used]
        if leaves:
            name = self._chance.choice(leaves)
            del self._layers[name]
            with self._told("snapshot", name, gone=True):
                self._snapshots.remove(name)

    def drop_active(self) -> None:
        if self._active:
            with self._told("snapshot", self._taken(self._active), gone=True) as key:
                self._snapshots.remove(key)

    def collect(self) -> None:
        collect(self._client, next(self._fresh))

    def _bytes(self) -> bytes:
        return self._chance.randbytes(self._chance.choice((16, 1000, 4096, 70_000, 300_000)))

    def _ingest(self, data: bytes, labels: dict[str, str], client: BlockingClient) -> None:
        half = len(data) // 2
        with client.content.ingest(next(self._fresh), total=len(data), expected=digest_of(data)) as ingest:
            ingest.write(data[:half])
            ingest.write(data[half:])
            ingest.commit(labels=labels)

    def _told(self, kind: str, name: str, detail: object = "", *, gone: bool = False) -> Telling:
        return Telling(self._channel, kind, name, None if gone else detail)

    def _taken(self, things: list[str]) -> str:
        return things.pop(self._chance.randrange(len(things)))

    def _is_mine(self, name: str) -> bool:
        return name.startswith(f"{self.name}-")


class Telling:
    """Tells that something will be (or, with None, will be gone), and then that the daemon has said so."""

    def __init__(self, channel: Channel, kind: str, name: str, detail: object) -> None:
        self._channel, self._words = channel, (kind, name, detail)

    def __enter__(self) -> str:
        self._channel.tell("begin", *self._words)
        return self._words[1]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            self._channel.tell("done", *self._words)


def collect(client: BlockingClient, name: str) -> None:
    """Returns when a collection that begins now has ended."""
    client.leases.create(f"collect {name}")
    client.leases.delete(f"collect {name}", sync=True)


@contextmanager
def daemon() -> Iterator[Callable[[], None]]:
    """Starts the daemon; the function that it yields returns when it is ready."""
    Path("/run/config.toml").write_text(CONFIG)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        ready.bind("/run/notify")
        environment = os.environ | {"NOTIFY_SOCKET": "/run/notify"}
        subprocess.Popen(["containerd", "--log-level", "warn", "--config", "/run/config.toml"], env=environment)

        def wait() -> None:
            while b"READY=1" not in ready.recv(4096):
                pass

        yield wait


def main(device: str, file_system: str, boot: int, seed: int) -> None:
    """Never returns: the power goes."""
    channel = Channel()
    subprocess.run(["mount", "-t", file_system, "-o", MOUNT_OPTIONS[file_system], device, str(DISK)], check=True)
    with daemon() as ready:
        channel.tell("booted")
        ready()
    client = connect(ADDRESS, namespace=NAMESPACE, timeout_s=60)
    findings = Findings(client)
    # What was acknowledged lives by itself; the rest may go, so that what is found is what there will be.
    for status in client.content.statuses():
        client.content.abort(status.ref)
    for lease in client.leases.list():
        if lease.id.startswith(HOLD):
            client.leases.delete(lease.id)
    collect(client, f"boot {boot}")
    found = findings.look()
    collect(client, f"boot {boot} again")
    findings.look_at_disk()
    channel.tell("found", found, findings.wrong)
    workers = [Worker(number, boot, seed, channel) for number in range(WORKERS)]
    for worker in workers:
        threading.Thread(target=guarded, args=(worker, channel)).start()
    channel.tell("working")


def guarded(worker: Worker, channel: Channel) -> None:
    """Tells of an error: no call of the work may fail."""
    try:
        worker.work()
    except (Error, OSError) as error:
        channel.tell("failed", worker.name, f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
