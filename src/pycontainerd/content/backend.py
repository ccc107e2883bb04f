"""The seam behind which content stores differ: our own on disk, or one in another process.

Names of ingests begin with the namespace that they are of, `<namespace>/<number>/<ref>`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Protocol, Self

from pycontainerd.content.model import Digest, IngestStatus
from pycontainerd.metadata.database import Database


class Blob(Protocol):
    """An open blob. A context manager; *size* is in bytes."""

    @property
    def size(self) -> int: ...

    async def read(self, offset: int, count: int) -> bytes:
        """Up to *count* bytes from *offset*; fewer at the end."""

    async def read_all(self, limit: int) -> bytes:
        """All bytes of a small blob. Raises NotFound if there are more than *limit*."""

    def descriptor(self) -> AbstractAsyncContextManager[int]:
        """A descriptor that reads all bytes from the first one on, for the length of a block."""

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Writing(Protocol):
    """An open ingest. *offset* is the number of bytes so far, *digest* theirs."""

    @property
    def offset(self) -> int: ...

    @property
    def total(self) -> int: ...

    @property
    def started_ns(self) -> int: ...

    @property
    def updated_ns(self) -> int: ...

    @property
    def digest(self) -> Digest: ...

    async def write(self, data: bytes | memoryview) -> None:
        """Appends *data*; when it raises nothing was appended."""

    async def truncate(self) -> None: ...

    async def digest_by(self, algorithm: str) -> Digest:
        """The digest of all bytes by *algorithm*."""

    async def publish(self, digest: Digest) -> None:
        """Makes the bytes the blob *digest*; the caller holds `committing` and has checked that they are it."""

    async def close(self) -> None:
        """Keeps the ingest for a resume."""

    async def discard(self) -> None:
        """Drops the ingest."""


class Backend(Protocol):
    """Blobs and ingests of all namespaces."""

    doubtful: set[str] | None
    """Blobs that may have no row though none of theirs went: a commit failed, or came while they were to be removed.
    None for a backend that can remove only what it has listed before.
    """

    def bind(self, database: Database) -> None:
        """Names the database, for backends that look something up there. Called once, before anything else."""

    def open(self, digest: Digest, namespace: str, size: int) -> Blob:
        """The blob *digest* of *size* bytes for *namespace*. Raises NotFound, here or when it is read."""

    async def begin(self, name: str, total: int) -> Writing:
        """Resumes or begins the ingest *name*, *total* bytes long, 0 if unknown."""

    async def copy_into(self, name: str, digest: Digest, total: int = 0) -> Writing:
        """A new ingest *name* that begins with the bytes of *digest*. Raises NotFound."""

    async def status(self, name: str, ref: str) -> IngestStatus:
        """How far the ingest *name* is, told as *ref*. Raises NotFound."""

    async def statuses(self, names: Sequence[tuple[str, str]]) -> list[IngestStatus]:
        """How far each ingest of *names* (name, ref) is; those without bytes are left out."""

    async def discard(self, name: str) -> None:
        """Drops the ingest *name*, if it exists."""

    def committing(self, digest: Digest) -> AbstractAsyncContextManager[None]:
        """Keeps the collector from *digest* until its row is there, or until it is clear that there will be none."""

    async def list_blobs(self) -> list[str]:
        """The digests of all blobs as texts, in no order."""

    async def remove_unless(self, digest: Digest, used: Callable[[], bool]) -> bool:
        """Removes the blob *digest* unless somebody commits it or *used* says that a row names it."""

    async def remove_other_ingests(self, names: Callable[[], Awaitable[Iterable[str]]]) -> None:
        """Removes every ingest but those in *names*, which is asked after the ingests were listed."""
