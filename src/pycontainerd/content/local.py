"""The backend: blobs and ingests of the whole daemon on its own disk, as the original lays them.

It knows no namespaces and no rows. Whoever commits a digest says so (`committing`), so that the collector, which takes
blobs that no row names, never takes one whose row is on its way.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pycontainerd import disk, faults
from pycontainerd.clock import Clock
from pycontainerd.content import ingest, verity
from pycontainerd.content.ingest import Ingest, directory_name
from pycontainerd.content.model import CANONICAL, Digest, IngestStatus
from pycontainerd.errors import NotFound
from pycontainerd.metadata.database import Database
from pycontainerd.threads import Threads

faults.declare("content.remove.unlinked", "content.remove.ingest")

INLINE_BYTES: Final = 32_768
"""What is written in the loop itself: 20 µs of hashing and a copy into the page cache, less than a thread costs."""

_BESIDE_BYTES: Final = 262_144
"""From here on, hashing beside writing pays for a second thread."""

_BLOB_NAMES: Final = {
    algorithm: re.compile(f"[a-f0-9]{{{digits}}}")
    for algorithm, digits in (("sha256", 64), ("sha384", 96), ("sha512", 128))
}


class Blob:
    """An open blob. A context manager; *size* is in bytes, *fd* a descriptor for reading that it owns."""

    __slots__ = ("_threads", "_wait_free", "fd", "size")

    def __init__(self, fd: int, size: int, threads: Threads) -> None:
        self.fd = fd
        self.size = size
        self._threads = threads
        self._wait_free = True

    async def read(self, offset: int, count: int) -> bytes:
        """Up to *count* bytes from *offset*; fewer at the end. What is cached is read at once, the rest in a thread."""
        if self._wait_free:
            with disk.translated("read blob"):
                data = self._read_cached(offset, count)
            if data is not None:
                return data
        with disk.translated("read blob"):
            return await self._threads.run(os.pread, self.fd, count, offset)

    async def read_all(self, limit: int) -> bytes:
        """All bytes of a small blob. Raises NotFound if there are more than *limit*."""
        if self.size > limit:
            raise NotFound(f"blob of {self.size} bytes is longer than {limit}")
        return await self.read(0, self.size)

    def _read_cached(self, offset: int, count: int) -> bytes | None:
        buffer = bytearray(count)
        try:
            read = os.preadv(self.fd, [buffer], offset, os.RWF_NOWAIT)
        except OSError as error:
            if error.errno == errno.EOPNOTSUPP:
                self._wait_free = False
            elif error.errno != errno.EAGAIN:
                raise
            return None
        if read < count and offset + read < self.size:
            return None  # only the beginning is cached
        return bytes(buffer) if read == count else bytes(memoryview(buffer)[:read])

    @asynccontextmanager
    async def descriptor(self) -> AsyncIterator[int]:
        """The descriptor of the blob itself."""
        yield self.fd

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class LocalContent:
    """Blobs and ingests below *root*, which is made when it is missing."""

    def __init__(self, root: Path, threads: Threads, clock: Clock) -> None:
        self.root = root
        self._threads = threads
        self._clock = clock
        self._blobs = os.path.join(root, "blobs")
        self._ingests = os.path.join(root, "ingest")
        self._committing: Counter[Digest] = Counter()
        self._removing: dict[Digest, asyncio.Future[None]] = {}
        self.doubtful: set[str] | None = set()
        root.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._verity = verity.supported(root)

    def bind(self, database: Database) -> None:
        """Nothing is looked up there."""

    def path(self, digest: Digest) -> str:
        """Where the bytes of *digest* are, if they are."""
        return os.path.join(self._blobs, digest.algorithm, digest.encoded)

    def open(self, digest: Digest, namespace: str = "", size: int = 0) -> Blob:
        """The blob *digest*, which is the same for every namespace. Raises NotFound."""
        try:
            with disk.translated(f"open content {digest}"):
                fd = os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC)
        except Exception as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise NotFound(f"content {digest}") from None
            raise
        return Blob(fd, os.fstat(fd).st_size, self._threads)

    async def begin(self, name: str, total: int) -> Writing:
        """Resumes or begins the ingest *name*; see `Ingest.open`."""
        directory, now_ns = self._directory(name), self._clock.now_ns()
        with disk.translated(f"open ingest {name}"):
            opened = await self._threads.open(
                Ingest.open, directory, name, total, now_ns, unwanted=lambda ingest: ingest.close(now_ns)
            )
        return Writing(opened, self, self._threads, self._clock)

    async def copy_into(self, name: str, digest: Digest, total: int = 0) -> Writing:
        """A new ingest *name* that begins with the bytes of *digest*. Raises NotFound."""
        writing = await self.begin(name, total)
        try:
            await writing.truncate()
            with self.open(digest) as blob:
                while data := await blob.read(writing.offset, 1 << 20):
                    await writing.write(data)
        except BaseException:
            await writing.discard()
            raise
        return writing

    async def status(self, name: str, ref: str) -> IngestStatus:
        """How far the ingest *name* is, told as *ref*. Raises NotFound."""
        return self._status(name, ref)

    def _status(self, name: str, ref: str) -> IngestStatus:
        directory = self._directory(name)
        try:
            offset, total, started_ns, updated_ns = ingest.status(directory)
        except FileNotFoundError:
            raise NotFound(f"stat {directory}/data: no such file or directory") from None
        return IngestStatus(ref, offset, total, started_ns, updated_ns)

    async def statuses(self, names: Sequence[tuple[str, str]]) -> list[IngestStatus]:
        """How far each ingest of *names* (name, ref) is; those without bytes on disk are left out."""
        return await self._threads.run(self._statuses, names)

    def _statuses(self, names: Sequence[tuple[str, str]]) -> list[IngestStatus]:
        found: list[IngestStatus] = []
        for name, ref in names:
            with suppress(NotFound):
                found.append(self._status(name, ref))
        return found

    async def discard(self, name: str) -> None:
        """Drops the ingest *name*, if it exists."""
        with disk.translated(f"remove ingest {name}"):
            await self._threads.run(disk.remove_tree, self._directory(name))

    @asynccontextmanager
    async def committing(self, digest: Digest) -> AsyncIterator[None]:
        """Keeps the collector from *digest* until its row is there, or until it is clear that there will be none."""
        while (removal := self._removing.get(digest)) is not None:
            await asyncio.shield(removal)
        self._committing[digest] += 1
        try:
            yield
        except BaseException:
            self._doubt(digest)
            raise
        finally:
            self._committing[digest] -= 1
            if not self._committing[digest]:
                del self._committing[digest]

    async def list_blobs(self) -> list[str]:
        """The digests of all blobs on disk, in no order; what is named like no blob is left out."""
        return await self._threads.run(self._scan_blobs)

    async def remove_unless(self, digest: Digest, used: Callable[[], bool]) -> bool:
        """Removes the blob *digest* unless somebody commits it or *used* says that a row names it."""
        if digest in self._committing:
            self._doubt(digest)
            return False
        if digest in self._removing or used():
            return False
        removal = self._removing[digest] = asyncio.get_running_loop().create_future()
        try:
            with disk.translated(f"remove content {digest}"), suppress(FileNotFoundError):
                await self._threads.run(_unlink, self.path(digest))
        finally:
            del self._removing[digest]
            removal.set_result(None)
        return True

    async def remove_other_ingests(self, names: Callable[[], Awaitable[Iterable[str]]]) -> None:
        """Removes every ingest but those in *names*, which is asked after the disk was read.

        Names are never used again, so that nobody can begin one that is missing there.
        """
        found = await self._threads.run(self._scan_ingests)
        if not found:
            return
        known = {directory_name(name) for name in await names()}
        for directory in found:
            if directory not in known:
                await self._threads.run(disk.remove_tree, os.path.join(self._ingests, directory))
                faults.reach("content.remove.ingest")

    async def enable_verity(self, digest: Digest) -> None:
        """Lets the kernel refuse damaged pages of the blob, where the file system can. It reads all of it for that."""
        if self._verity:
            await self._threads.run(verity.enable, self.path(digest))

    def _doubt(self, digest: Digest) -> None:
        if self.doubtful is not None:
            self.doubtful.add(str(digest))

    def _directory(self, name: str) -> str:
        return os.path.join(self._ingests, directory_name(name))

    def _scan_blobs(self) -> list[str]:
        found: list[str] = []
        for algorithm in _names(self._blobs):
            pattern = _BLOB_NAMES.get(algorithm)
            if pattern is not None:
                names = _names(os.path.join(self._blobs, algorithm))
                found += [f"{algorithm}:{name}" for name in names if pattern.fullmatch(name)]
        return found

    def _scan_ingests(self) -> list[str]:
        return _names(self._ingests)


class Writing:
    """An open ingest for the loop: small pieces are written at once, large ones in threads."""

    __slots__ = ("_backend", "_clock", "_ingest", "_threads")

    def __init__(self, opened: Ingest, backend: LocalContent, threads: Threads, clock: Clock) -> None:
        self._ingest = opened
        self._backend = backend
        self._threads = threads
        self._clock = clock

    @property
    def offset(self) -> int:
        return self._ingest.offset

    @property
    def total(self) -> int:
        return self._ingest.total

    @property
    def started_ns(self) -> int:
        return self._ingest.started_ns

    @property
    def updated_ns(self) -> int:
        return max(self._ingest.updated_ns, self._ingest.started_ns)

    @property
    def digest(self) -> Digest:
        return self._ingest.digest

    async def write(self, data: bytes | memoryview) -> None:
        """Appends *data*; when it raises nothing was appended."""
        with disk.translated(f"write ingest {self._ingest.name}"):
            if len(data) <= INLINE_BYTES:
                self._ingest.append(data)
            elif len(data) < _BESIDE_BYTES:
                await self._threads.run(self._ingest.append, data)
            else:
                await self._write_beside(data)

    async def _write_beside(self, data: bytes | memoryview) -> None:
        running = self._ingest.hash.copy()
        await self._threads.run_both(lambda: running.update(data), lambda: self._ingest.store(data))
        self._ingest.advance(len(data), running)

    async def truncate(self) -> None:
        with disk.translated(f"truncate ingest {self._ingest.name}"):
            await self._threads.run(self._ingest.truncate)

    async def digest_by(self, algorithm: str) -> Digest:
        """The digest of all bytes by *algorithm*."""
        if algorithm == CANONICAL:
            return self._ingest.digest
        return await self._threads.run(self._ingest.digest_by, algorithm)

    async def publish(self, digest: Digest) -> None:
        """Makes the bytes the blob *digest*; the caller holds `committing` and has checked that they are it."""
        with disk.translated(f"commit content {digest}"):
            await self._threads.run(self._ingest.publish, self._backend.path(digest), self._clock.now_ns())
        await self._backend.enable_verity(digest)

    async def close(self) -> None:
        """Keeps the ingest for a resume."""
        if not self._ingest.is_open:
            return
        with disk.translated(f"close ingest {self._ingest.name}"):
            await self._threads.run(self._ingest.close, self._clock.now_ns())

    async def discard(self) -> None:
        """Drops the ingest."""
        if not self._ingest.is_open:
            return
        with disk.translated(f"remove ingest {self._ingest.name}"):
            await self._threads.run(self._ingest.discard)


def _unlink(path: str) -> None:
    os.unlink(path)
    faults.reach("content.remove.unlinked")


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
