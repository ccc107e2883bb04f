"""Two that apply layers: stock containerd behind its socket, and our differ with a real worker."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.diff import v1_pb2 as pb
from pycontainerd.content.backend import Blob
from pycontainerd.content.model import Digest
from pycontainerd.diff.differ import Differ
from pycontainerd.errors import NotFound
from pycontainerd.mounts.model import Mount
from pycontainerd.oci.image import Descriptor
from pycontainerd.spawner.aio import Spawner
from tests.harness.asking import Asker
from tests.harness.daemon import Daemon

CONTRACT = pb.DESCRIPTOR.services_by_name["Diff"]
LAYER = "application/vnd.oci.image.layer.v1.tar"


class Applier(Protocol):
    """Somebody who applies a layer, and tells digest and size of the plain one."""

    def apply(self, layer: bytes, mounts: Sequence[Mount], media_type: str = LAYER) -> tuple[str, int]:
        """Raises Error."""


class Stock:
    """Stock containerd."""

    def __init__(self, daemon: Daemon, asker: Asker) -> None:
        self._daemon = daemon
        self._asker = asker

    def apply(self, layer: bytes, mounts: Sequence[Mount], media_type: str = LAYER) -> tuple[str, int]:
        digest = str(Digest.of(layer))
        request = pb.ApplyRequest(
            diff=types_pb2.Descriptor(media_type=media_type, digest=digest, size=len(layer)),
            mounts=[
                types_pb2.Mount(type=mount.type, source=mount.source, target=mount.target, options=mount.options)
                for mount in mounts
            ],
        )
        while True:
            self._daemon.ctr("content", "ingest", f"layer-{digest}", stdin=layer)
            try:
                applied = self._asker.ask(CONTRACT, "apply", request, namespace=self._daemon.namespace).applied
            except NotFound:
                continue  # its collector was quicker: nothing holds the blob
            return applied.digest, applied.size


class NoContent:
    """Layers come by descriptor here."""

    def has(self, namespace: str, digest: str) -> bool:
        return False

    def reader(self, namespace: str, digest: Digest) -> Blob:
        raise AssertionError(digest)


class Ours:
    """Our differ, its workers forked by a spawner of this test."""

    def __init__(self, runner: asyncio.Runner, socket_dir: Path) -> None:
        self._runner = runner
        self.spawner = Spawner(str(socket_dir))
        self.differ = Differ(self.spawner, NoContent(), {})

    def apply(self, layer: bytes, mounts: Sequence[Mount], media_type: str = LAYER) -> tuple[str, int]:
        with tempfile.TemporaryFile() as file:
            file.write(layer)
            file.flush()
            os.lseek(file.fileno(), 0, os.SEEK_SET)
            descriptor = Descriptor(media_type, "", len(layer))
            applied = self._runner.run(self.differ.apply(descriptor, file.fileno(), mounts))
        return applied.digest, applied.size

    def close(self) -> None:
        self._runner.run(self.spawner.close())


def bind(directory: Path) -> list[Mount]:
    """The mounts of a snapshot without parents."""
    return [Mount("bind", str(directory), options=("rbind", "rw"))]


def overlay(upper: Path, work: Path, lower: Sequence[Path]) -> list[Mount]:
    """The mounts of a snapshot with parents, the nearest first."""
    options = (f"workdir={work}", f"upperdir={upper}", f"lowerdir={':'.join(map(str, lower))}", "index=off")
    return [Mount("overlay", "overlay", options=options)]
