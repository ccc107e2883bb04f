"""Transfers as a client asks for them, through grpcio, of any daemon; and what they leave behind, as text."""

from __future__ import annotations

import base64
import os
import queue
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any as Anything

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from pycontainerd.api.containerd.services.content import v1_pb2 as content_pb2
from pycontainerd.api.containerd.services.images import v1_pb2 as images_pb2
from pycontainerd.api.containerd.services.leases import v1_pb2 as leases_pb2
from pycontainerd.api.containerd.services.snapshots import v1_pb2 as snapshots_pb2
from pycontainerd.api.containerd.services.streaming import v1_pb2 as streaming_pb2
from pycontainerd.api.containerd.services.transfer import v1_pb2 as transfer_pb2
from pycontainerd.api.containerd.types import transfer_pb2 as types_pb2
from pycontainerd.api.containerd.types_pb2 import Platform
from pycontainerd.rpc.service import methods_of
from tests.harness.asking import OverSocket, outcome

CONTENT = content_pb2.DESCRIPTOR.services_by_name["Content"]
IMAGES = images_pb2.DESCRIPTOR.services_by_name["Images"]
LEASES = leases_pb2.DESCRIPTOR.services_by_name["Leases"]
SNAPSHOTS = snapshots_pb2.DESCRIPTOR.services_by_name["Snapshots"]
STREAMING = streaming_pb2.DESCRIPTOR.services_by_name["Streaming"]
TRANSFER = transfer_pb2.DESCRIPTOR.services_by_name["Transfer"]

PART = 32_768
ATTEMPTS = 10
NO_STREAM = "NOT_FOUND: not found"
HOST = Platform(os="linux", architecture="amd64")


def packed(message: Message) -> Any:
    return Any(type_url=message.DESCRIPTOR.full_name, value=message.SerializeToString())


def store(name: str = "", *, unpack: str = "", **members: Anything) -> types_pb2.ImageStore:
    """An image store as destination; with *unpack* images are unpacked with that snapshotter."""
    unpacks = [types_pb2.UnpackConfiguration(platform=HOST, snapshotter=unpack)] if unpack else []
    return types_pb2.ImageStore(name=name, unpacks=unpacks, **members)


@dataclass
class Outcome:
    """How a transfer ended, as text, and what was told meanwhile."""

    answer: str
    events: list[str] = field(default_factory=list)


class Stream:
    """A client's side of one stream."""

    def __init__(self, channel: grpc.Channel, namespace: str, name: str) -> None:
        wire = methods_of(STREAMING)["stream"]
        self._requests: queue.Queue[Any | None] = queue.Queue()
        make = channel.stream_stream(wire.path, lambda message: message.SerializeToString(), wire.response.FromString)
        call: Anything = make(iter(self._requests.get, None), metadata=(("containerd-namespace", namespace),))
        self._call = call
        self.name = name
        self._requests.put(packed(streaming_pb2.StreamInit(id=name)))
        next(call)

    def send(self, message: Message) -> None:
        self._requests.put(packed(message))

    def end(self) -> None:
        self._requests.put(None)

    def __iter__(self) -> Iterator[Any]:
        """What the daemon sends, until it ends the stream."""
        try:
            yield from self._call
        except grpc.RpcError:
            return

    def feed(self, data: bytes) -> None:
        """Sends *data* as it is granted, then ends."""
        offset = window = 0
        grants = iter(self)
        while offset < len(data):
            while window <= 0:
                grant = next(grants, None)
                if grant is None:
                    return
                window += types_pb2.WindowUpdate.FromString(grant.value).update
            part = data[offset : offset + min(PART, window)]
            self.send(types_pb2.Data(data=part))
            offset += len(part)
            window -= len(part)
        self.end()

    def drain(self, into: bytearray) -> None:
        """Receives bytes until the daemon ends the stream."""
        self.send(types_pb2.WindowUpdate(update=2 * PART))
        for message in self:
            part = types_pb2.Data.FromString(message.value).data
            into += part
            self.send(types_pb2.WindowUpdate(update=len(part)))

    def close(self) -> None:
        self.end()
        self._call.cancel()


class Transfers:
    """The transfers of one namespace of a daemon."""

    def __init__(self, address: Path, namespace: str) -> None:
        self.namespace = namespace
        self.asker = OverSocket(address)

    def close(self) -> None:
        self.asker.close()

    @contextmanager
    def stream(self, prefix: str) -> Iterator[Stream]:
        name = f"{prefix}-{base64.urlsafe_b64encode(os.urandom(9)).decode()}"
        stream = Stream(self.asker.channel, self.namespace, name)
        try:
            yield stream
        finally:
            stream.close()

    def import_archive(
        self,
        data: bytes,
        target: types_pb2.ImageStore,
        *,
        lease: str = "",
        force_compress: bool = False,
        media_type: str = "",
    ) -> Outcome:
        """Imports an archive. Stock sometimes answers a stream's opening before it can find the stream: then again."""
        for _ in range(ATTEMPTS):
            found = self._import_once(data, target, lease=lease, force_compress=force_compress, media_type=media_type)
            if found.answer != NO_STREAM:
                return found
        raise AssertionError(f"a stream was not found {ATTEMPTS} times")

    def _import_once(
        self, data: bytes, target: types_pb2.ImageStore, *, lease: str, force_compress: bool, media_type: str
    ) -> Outcome:
        with ExitStack() as stack:
            archive = stack.enter_context(self.stream("import"))
            told = stack.enter_context(self.stream("progress"))
            found = Outcome("")
            helpers = [
                threading.Thread(target=archive.feed, args=(data,)),
                threading.Thread(target=lambda: found.events.extend(map(_event, told))),
            ]
            for helper in helpers:
                helper.start()
            source = types_pb2.ImageImportStream(
                stream=archive.name, force_compress=force_compress, media_type=media_type
            )
            found.answer = self.transfer(source, target, lease=lease, progress=told.name)
            for helper in helpers:
                helper.join()
            return found

    def echo(self, data: bytes) -> bytes:
        """What comes back of *data* that is sent from stream to stream."""
        for _ in range(ATTEMPTS):
            with self.stream("import") as sent, self.stream("export") as received:
                back = bytearray()
                helpers = [
                    threading.Thread(target=sent.feed, args=(data,)),
                    threading.Thread(target=received.drain, args=(back,)),
                ]
                for helper in helpers:
                    helper.start()
                source = types_pb2.ImageImportStream(stream=sent.name)
                answer = self.transfer(source, types_pb2.ImageExportStream(stream=received.name))
                if answer == NO_STREAM:
                    sent.close()
                    received.close()
                for helper in helpers:
                    helper.join()
                if answer != NO_STREAM:
                    return bytes(back)
        raise AssertionError(f"a stream was not found {ATTEMPTS} times")

    def transfer(self, source: Message, target: Message, *, lease: str = "", progress: str = "") -> str:
        request = transfer_pb2.TransferRequest(source=packed(source), destination=packed(target))
        if progress:
            request.options.progress_stream = progress
        return outcome(self.asker, TRANSFER, "transfer", request, namespace=self.namespace, lease=lease)

    def left(self) -> list[str]:
        """What is in the namespace: images, blobs, snapshots, leases, ingests, each with its labels."""
        lines = [
            f"image {image.name} {image.target.media_type} {image.target.digest} {image.target.size}"
            f" {_sorted(image.target.annotations)} {_sorted(image.labels)}"
            for image in self._ask(IMAGES, "list", images_pb2.ListImagesRequest()).images
        ]
        for batch in self._ask(CONTENT, "list", content_pb2.ListContentRequest()):
            lines += [f"blob {info.digest} {info.size} {_sorted(info.labels)}" for info in batch.info]
        for snapshotter in ("overlayfs", "native"):
            request = snapshots_pb2.ListSnapshotsRequest(snapshotter=snapshotter)
            for batch in self._ask(SNAPSHOTS, "list", request):
                lines += [f"snapshot {i.name} {i.parent} {i.kind} {_sorted(i.labels)}" for i in batch.info]
        leases = self._ask(LEASES, "list", leases_pb2.ListRequest()).leases
        ingests = self._ask(CONTENT, "list_statuses", content_pb2.ListStatusesRequest()).statuses
        return lines + [f"lease {lease.id}" for lease in leases] + [f"ingest {status.ref}" for status in ingests]

    def collect(self) -> None:
        """Returns when a collection that begins now has ended."""
        self._ask(LEASES, "create", leases_pb2.CreateRequest(id="collect"))
        self._ask(LEASES, "delete", leases_pb2.DeleteRequest(id="collect", sync=True))

    def drop_leases(self) -> None:
        """Lets go of what a transfer that a crash ended still holds, as its lease does after a day."""
        for lease in self._ask(LEASES, "list", leases_pb2.ListRequest()).leases:
            self._ask(LEASES, "delete", leases_pb2.DeleteRequest(id=lease.id))

    def read(self, digest: str) -> bytes:
        parts = self._ask(CONTENT, "read", content_pb2.ReadContentRequest(digest=digest))
        return b"".join(part.data for part in parts)

    def _ask(self, contract: Anything, method: str, request: Message) -> Anything:
        return self.asker.ask(contract, method, request, namespace=self.namespace)


def normalized(text: str) -> str:
    """*text* without what differs from run to run."""
    text = re.sub(r"extract-\d+-[\w-]{4}", "extract-N", text)
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)


def _event(message: Any) -> str:
    said = types_pb2.Progress.FromString(message.value)
    return f"{said.event} {said.name} {said.desc.digest}".rstrip()


def _sorted(labels: Anything) -> Sequence[tuple[str, str]]:
    return sorted((key, normalized(value)) for key, value in labels.items())


__all__ = ["HOST", "Outcome", "Transfers", "normalized", "packed", "store"]
