"""Checkpoints of tasks: written by the runtime into a directory, kept as content, unpacked for a task to begin from.

A checkpoint in the content store is two blobs: the files of criu as a tar archive, and the container's spec as the
bytes of its Any. On their way they lie in the task's work directory, with which they go at the latest.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Final, Protocol

from pycontainerd.content.model import Digest
from pycontainerd.diff import media
from pycontainerd.errors import AlreadyExists, Unknown
from pycontainerd.mounts.model import Mount
from pycontainerd.oci.image import OCI_LAYER_GZIP, Descriptor
from pycontainerd.runtime.model import Payload
from pycontainerd.tasks.store import Tasks

IMAGE_TYPE: Final = "application/vnd.containerd.container.criu.checkpoint.criu.tar"
CONFIG_TYPE: Final = "application/vnd.containerd.container.checkpoint.config.v1+proto"
PREFIX: Final = "ctrd-checkpoint"
CHANGES: Final = "rootfs-diff.tar"


class Content(Protocol):
    """Where checkpoints are kept."""

    def has(self, namespace: str, digest: str) -> bool: ...

    def ingest(self, namespace: str, ref: str, *, lease: str | None) -> AbstractAsyncContextManager[Any]: ...


class Differ(Protocol):
    """Who makes archives of directories, and directories of archives."""

    async def apply_content(self, namespace: str, descriptor: Descriptor, mounts: Sequence[Mount]) -> Descriptor: ...

    async def apply(self, descriptor: Descriptor, blob: int, mounts: Sequence[Mount]) -> Descriptor: ...

    async def compare(
        self,
        namespace: str,
        older: Sequence[Mount],
        newer: Sequence[Mount],
        *,
        media_type: str,
        ref: str,
        lease: str | None,
    ) -> Descriptor: ...


class Checkpoints:
    """Takes checkpoints of *tasks* into *content*, and brings them back. *differ* is found when it is needed."""

    def __init__(self, tasks: Tasks, content: Content, differ: Callable[[], Differ]) -> None:
        self._tasks = tasks
        self._content = content
        self._differ = differ

    async def take(
        self, namespace: str, id_: str, options: Payload | None, image_path: str, *, spec: bytes, lease: str | None
    ) -> list[Descriptor]:
        """Writes the state of a task to *image_path*; without one, into content: its files, and *spec*.

        Raises NotFound if there is no such task or no such lease, and what the shim answers.
        """
        shim = await self._tasks.shim(namespace, id_)
        if image_path:
            await shim.api.checkpoint(shim.id, image_path, options)
            return []
        directory = await asyncio.to_thread(_directory_in, shim.bundle.work)
        try:
            await shim.api.checkpoint(shim.id, directory, options)
            return [
                await self._keep_files(namespace, directory, lease),
                await self._keep_spec(namespace, f"{directory}/spec", spec, lease),
            ]
        finally:
            await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)

    def require(self, namespace: str, checkpoint: Descriptor) -> None:
        """Raises Unknown, as the original does, if *namespace* does not have the blob of *checkpoint*."""
        if not self._content.has(namespace, checkpoint.digest):
            raise Unknown(f"content digest {checkpoint.digest}: not found")

    async def unpack(self, namespace: str, checkpoint: Descriptor, directory: str) -> None:
        """Makes *directory*, and brings the files of *checkpoint* into it. Raises NotFound, Unknown."""
        await asyncio.to_thread(os.mkdir, directory, 0o700)
        plain = Descriptor(media.PLAIN, checkpoint.digest, checkpoint.size)
        await self._differ().apply_content(namespace, plain, (_bound(directory),))

    async def change(self, checkpoint: str, rootfs: str) -> None:
        """Applies what lies as an archive beside the directory *checkpoint* to *rootfs*, if anything does.

        Raises Unknown.
        """
        path = os.path.join(os.path.dirname(checkpoint.rstrip("/")), CHANGES)
        try:
            archive = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            size = os.fstat(archive).st_size
            await self._differ().apply(Descriptor(OCI_LAYER_GZIP, "", size), archive, (_bound(rootfs),))
        finally:
            os.close(archive)

    async def _keep_files(self, namespace: str, directory: str, lease: str | None) -> Descriptor:
        made = await self._differ().compare(
            namespace, (), (_bound(directory, "ro"),), media_type=media.PLAIN, ref=directory, lease=lease
        )
        return Descriptor(IMAGE_TYPE, made.digest, made.size)

    async def _keep_spec(self, namespace: str, ref: str, spec: bytes, lease: str | None) -> Descriptor:
        async with self._content.ingest(namespace, ref, lease=lease) as writer:
            await writer.write(spec)
            with suppress(AlreadyExists):
                await writer.commit()
        return Descriptor(CONFIG_TYPE, str(Digest.of(spec)), len(spec))


def _directory_in(work: str) -> str:
    return tempfile.mkdtemp(prefix=PREFIX, dir=work)


def _bound(directory: str, *options: str) -> Mount:
    return Mount("bind", directory, options=("rbind", *options))
