"""What a transfer needs of the stores that it moves images between, as small as the need."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from pycontainerd.content.backend import Blob
from pycontainerd.content.model import BlobInfo, Digest
from pycontainerd.images.model import Image
from pycontainerd.mounts.model import Mount
from pycontainerd.oci.image import Descriptor
from pycontainerd.snapshots.model import Info


class Writer(Protocol):
    """An ingest that is being written."""

    async def write(self, data: bytes) -> None: ...

    async def truncate(self) -> None: ...

    async def commit(self, size: int = 0, expected: str = "", labels_: Mapping[str, str] | None = None) -> Digest: ...

    @property
    def offset(self) -> int: ...

    @property
    def digest(self) -> str: ...


class Content(Protocol):
    """The content of all namespaces."""

    def ingest(
        self,
        namespace: str,
        ref: str,
        *,
        total: int = 0,
        expected: str = "",
        lease: str | None = None,
        patient: bool = False,
    ) -> AbstractAsyncContextManager[Writer]: ...

    def reader(self, namespace: str, digest: Digest) -> Blob: ...

    async def read_all(self, namespace: str, digest: Digest, *, limit: int) -> bytes: ...

    async def update(
        self, namespace: str, digest: Digest, sent: Mapping[str, str], paths: Iterable[str] = ()
    ) -> BlobInfo: ...

    def list_blobs(self, namespace: str, filters_: Sequence[str] = ()) -> AsyncIterator[Sequence[BlobInfo]]: ...


class Images(Protocol):
    """The images of all namespaces."""

    def get(self, namespace: str, name: str) -> Image: ...

    async def create(self, namespace: str, image: Image, *, lease: str | None = None) -> Image: ...

    async def update(
        self, namespace: str, sent: Image, paths: Sequence[str] = (), *, lease: str | None = None
    ) -> Image: ...


class Snapshots(Protocol):
    """The snapshots of all namespaces on one snapshotter."""

    @property
    def capabilities(self) -> frozenset[str]: ...

    async def prepare(
        self,
        namespace: str,
        key: str,
        parent: str = "",
        said: Mapping[str, str] | None = None,
        *,
        lease: str | None = None,
    ) -> Sequence[Mount]: ...

    async def commit(
        self,
        namespace: str,
        name: str,
        key: str,
        said: Mapping[str, str] | None = None,
        *,
        parent: str = "",
        lease: str | None = None,
    ) -> None: ...

    async def remove(self, namespace: str, key: str, *, lease: str | None = None) -> None: ...

    async def stat(self, namespace: str, key: str) -> Info: ...


class Differ(Protocol):
    """What turns a layer into files."""

    async def apply_content(
        self, namespace: str, descriptor: Descriptor, mounts: Sequence[Mount], *, sync_fs: bool = False
    ) -> Descriptor: ...


class Leases(Protocol):
    """The leases of all namespaces."""

    async def create(self, namespace: str, lease_id: str, said: Mapping[str, str]) -> HasId: ...

    async def delete(self, namespace: str, lease_id: str, *, sync: bool = False) -> None: ...


class HasId(Protocol):
    """A lease, as far as it is needed."""

    @property
    def id(self) -> str: ...
