"""A namespace of a daemon, filled and collected by verbs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.message import Message

from pycontainerd.api.containerd.services.containers import v1_pb2 as cs
from pycontainerd.api.containerd.services.content import v1_pb2 as ct
from pycontainerd.api.containerd.services.images import v1_pb2 as im
from pycontainerd.api.containerd.services.leases import v1_pb2 as ls
from pycontainerd.api.containerd.services.snapshots import v1_pb2 as sn
from pycontainerd.rpc.service import methods_of
from tests.harness.asking import Asker
from tests.harness.daemon import Daemon
from tests.integration.metadata.questions import CONTAINERS, IMAGES, LEASES, SPEC, container, image

CONTENT: Final = ct.DESCRIPTOR.services_by_name["Content"]
SNAPSHOTS: Final = sn.DESCRIPTOR.services_by_name["Snapshots"]
HELPER: Final = "while-making"


@dataclass
class House:
    """A namespace of a daemon. What is made in it is held by a lease until `collect`."""

    daemon: Daemon
    asker: Asker
    namespace: str

    def ask(self, service: Any, method: str, request: Message, *, lease: str = HELPER) -> Any:
        return self.asker.ask(service, method, request, namespace=self.namespace, lease=lease)

    def blob(self, text: str, labels: Mapping[str, str] | None = None, *, lease: str = HELPER) -> str:
        """Writes a blob and returns its digest."""
        data = f"{self.namespace} {text}".encode()
        request = ct.WriteContentRequest(
            action=ct.COMMIT, ref=text, data=data, total=len(data), expected=digest_of(data), labels=labels
        )
        self.write(request, lease=lease)
        return digest_of(data)

    def ingest(self, ref: str, *, lease: str = "") -> None:
        """Begins an ingest and leaves it."""
        self.write(ct.WriteContentRequest(action=ct.WRITE, ref=ref, data=b"begun"), lease=lease)

    def image(self, name: str, digest: str, labels: Mapping[str, str] | None = None) -> None:
        sent = image(name, target={"digest": digest}, labels=labels)
        self.ask(IMAGES, "create", im.CreateImageRequest(image=sent), lease="")

    def container(self, id_: str, snapshot: str = "", labels: Mapping[str, str] | None = None, **fields: str) -> None:
        held = {"snapshotter": "native", "snapshot_key": snapshot} if snapshot else {}
        sent = container(id_, labels=labels, spec=SPEC, **held, **fields)
        self.ask(CONTAINERS, "create", cs.CreateContainerRequest(container=sent), lease="")

    def snapshot(self, name: str, parent: str = "", labels: Mapping[str, str] | None = None) -> None:
        """Makes a committed snapshot."""
        key = f"{name}-active"
        self.ask(SNAPSHOTS, "prepare", sn.PrepareSnapshotRequest(snapshotter="native", key=key, parent=parent))
        commit = sn.CommitSnapshotRequest(snapshotter="native", name=name, key=key, labels=labels)
        self.ask(SNAPSHOTS, "commit", commit)

    def lease(self, id_: str, labels: Mapping[str, str] | None = None, *held: tuple[str, str]) -> None:
        self.ask(LEASES, "create", ls.CreateRequest(id=id_, labels=labels), lease="")
        for kind, name in held:
            request = ls.AddResourceRequest(id=id_, resource=ls.Resource(type=kind, id=name))
            self.ask(LEASES, "add_resource", request, lease="")

    def collect(self) -> None:
        """Lets go of what was made, and waits for a collection."""
        self.ask(LEASES, "delete", ls.DeleteRequest(id=HELPER, sync=True), lease="")

    def blobs(self) -> set[str]:
        replies = self.ask(CONTENT, "list", ct.ListContentRequest(), lease="")
        return {info.digest for reply in replies for info in reply.info}

    def ingests(self) -> set[str]:
        return {status.ref for status in self.ask(CONTENT, "list_statuses", ct.ListStatusesRequest()).statuses}

    def snapshots(self) -> set[str]:
        replies = self.ask(SNAPSHOTS, "list", sn.ListSnapshotsRequest(snapshotter="native"), lease="")
        return {info.name for reply in replies for info in reply.info}

    def images(self) -> set[str]:
        return {found.name for found in self.ask(IMAGES, "list", im.ListImagesRequest(), lease="").images}

    def leases(self) -> set[str]:
        return {found.id for found in self.ask(LEASES, "list", ls.ListRequest(), lease="").leases}

    def blobs_on_disk(self) -> set[str]:
        blobs = self.daemon.root / "io.containerd.content.v1.content/blobs/sha256"
        return {f"sha256:{path.name}" for path in blobs.iterdir()} if blobs.exists() else set()

    def write(self, request: ct.WriteContentRequest, *, lease: str = HELPER) -> None:
        """One message of a Write stream."""
        leased = (("containerd-lease", lease),) if lease else ()
        headers: tuple[tuple[str, str | bytes], ...] = (("containerd-namespace", self.namespace), *leased)
        wire = methods_of(CONTENT)["write"]
        with grpc.insecure_channel(f"unix:{self.daemon.address}") as channel:
            write = channel.stream_stream(wire.path, _serialized, wire.response.FromString)
            assert list(write(iter([request]), metadata=headers, timeout=30))


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def refs(kind: str, *names: str) -> dict[str, str]:
    """Labels that refer to *names*."""
    return {f"containerd.io/gc.ref.{kind}.x.{number}": name for number, name in enumerate(names)}
