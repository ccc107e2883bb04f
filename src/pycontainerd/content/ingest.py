"""One ingest on disk, held by one writer.

    ingest/<sha256 of the name>/
        data        the bytes so far
        ref         the name
        startedat, updatedat    RFC 3339
        total       how long the blob will be, if somebody said so

The small files say when a resumed ingest began; a crash may lose them, and they are made again. What counts is
`data`: a resume hashes all of it.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from pycontainerd import disk, faults
from pycontainerd.content import times
from pycontainerd.content.model import CANONICAL, Digest, hasher
from pycontainerd.metadata.times import parse_rfc3339

if TYPE_CHECKING:
    from hashlib import _Hash

faults.declare(
    "content.ingest.made",
    "content.ingest.written",
    "content.commit.synced",
    "content.commit.renamed",
    "content.commit.durable",
)

_CHUNK: Final = 1 << 20
_NO_WRITE_OR_EXECUTE: Final = 0o333


def directory_name(name: str) -> str:
    """The name of the directory of the ingest *name*, which may hold any characters."""
    return hashlib.sha256(name.encode()).hexdigest()


class Ingest:
    """The bytes of a blob in the making. Every method blocks, and is called by one thread at a time.

    *offset* is the number of bytes so far, *hash* has seen all of them.
    """

    __slots__ = ("_data", "_directory", "_sink", "hash", "name", "offset", "started_ns", "total")

    def __init__(self, directory: str, name: str, sink: int, *, started_ns: int, total: int) -> None:
        self._directory = directory
        self._data = os.path.join(directory, "data")
        self._sink = sink
        self.name = name
        self.hash: _Hash = hasher()
        self.offset = 0
        self.started_ns = started_ns
        self.total = total

    @classmethod
    def open(cls, directory: str, name: str, total: int, now_ns: int) -> Self:
        """Resumes what lies in *directory*, or begins there.

        *total* is the length of the blob in bytes, 0 if unknown; a length that differs from the one of before begins
        anew. Raises OSError.
        """
        started_ns = _resumed(directory, name, total)
        fresh = started_ns is None
        if started_ns is None:
            started_ns = now_ns
            _begin(directory, name, total, now_ns)
            faults.reach("content.ingest.made")
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if fresh else 0)
        sink = os.open(os.path.join(directory, "data"), flags, 0o666)
        ingest = cls(directory, name, sink, started_ns=started_ns, total=total or _stored_total(directory))
        try:
            ingest.offset = 0 if fresh else _hash_file(sink, ingest.hash)
        except BaseException:
            os.close(sink)
            raise
        return ingest

    @property
    def digest(self) -> Digest:
        """The digest of all bytes so far."""
        return Digest(CANONICAL, self.hash.hexdigest())

    @property
    def updated_ns(self) -> int:
        """When the last bytes came."""
        return os.fstat(self._sink).st_mtime_ns

    def append(self, data: bytes | memoryview) -> None:
        """Adds *data*. When it raises OSError nothing was added."""
        running = self.hash.copy()
        running.update(data)
        self.store(data)
        self.advance(len(data), running)

    def store(self, data: bytes | memoryview) -> None:
        """Writes *data* behind the last byte; `advance` makes it count. So its hash may be made beside it."""
        try:
            disk.write_all(self._sink, data, self.offset)
        except OSError:
            # On a full disk the rest of the piece would take the room in which the database records what goes.
            with suppress(OSError):
                os.ftruncate(self._sink, self.offset)
            raise
        faults.reach("content.ingest.written")

    def advance(self, count: int, running: _Hash) -> None:
        """Counts *count* stored bytes, *running* being the hash of everything with them."""
        self.offset += count
        self.hash = running

    def truncate(self) -> None:
        """Drops all bytes."""
        os.ftruncate(self._sink, 0)
        self.offset = 0
        self.hash = hasher()

    def digest_by(self, algorithm: str) -> Digest:
        """The digest of all bytes by *algorithm*; reads them again unless it is the running one."""
        if algorithm == CANONICAL:
            return self.digest
        other = hasher(algorithm)
        _hash_file(self._sink, other)
        return Digest(algorithm, other.hexdigest())

    def publish(self, target: str, now_ns: int) -> None:
        """Makes the bytes the blob file *target*, durably, and removes the ingest. Raises OSError.

        A file that is there already is replaced: equal bytes, if it is whole, and mended, if a disk broke it.
        """
        mode = os.fstat(self._sink).st_mode & 0o777
        # The bytes may have been longer once: what lies behind the last one must not become part of the blob.
        os.ftruncate(self._sink, self.offset)
        os.fchmod(self._sink, mode & ~_NO_WRITE_OR_EXECUTE)
        os.utime(self._sink, ns=(now_ns, now_ns))
        os.fsync(self._sink)
        faults.reach("content.commit.synced")
        parent = os.path.dirname(target)
        if not os.path.isdir(parent):
            disk.make_directory(os.path.dirname(parent))
            disk.make_directory(parent)
        os.rename(self._data, target)
        faults.reach("content.commit.renamed")
        disk.sync_directory(parent)
        faults.reach("content.commit.durable")
        self._forget_sink()
        _remove(self._directory)

    @property
    def is_open(self) -> bool:
        return self._sink >= 0

    def close(self, now_ns: int) -> None:
        """Leaves the ingest as it is, for a resume. Fine when it is published or discarded."""
        if self._sink < 0:
            return
        self._forget_sink()
        # Somebody may have aborted it under the writer's hands.
        with suppress(FileNotFoundError):
            disk.replace_text(os.path.join(self._directory, "updatedat"), times.format_ns(now_ns))

    def discard(self) -> None:
        """Drops the ingest and its bytes. Fine when it is published."""
        if self._sink >= 0:
            self._forget_sink()
            _remove(self._directory)

    def _forget_sink(self) -> None:
        sink, self._sink = self._sink, -1
        os.close(sink)


def status(directory: str) -> tuple[int, int, int, int]:
    """Offset, total, started and updated (nanoseconds) of the ingest in *directory*. Raises FileNotFoundError."""
    data = os.stat(os.path.join(directory, "data"))
    started_ns = _time_in(directory, "startedat")
    updated_ns = _time_in(directory, "updatedat")
    if started_ns is None:
        started_ns = data.st_mtime_ns
    return data.st_size, _stored_total(directory), started_ns, max(updated_ns or 0, data.st_mtime_ns)


def _resumed(directory: str, name: str, total: int) -> int | None:
    """When the ingest of *name* in *directory* began; None if there is none that can go on to be *total* long."""
    if disk.read_text(os.path.join(directory, "ref")) != name:
        return None
    stored = _stored_total(directory)
    if total and stored and total != stored:
        return None
    return _time_in(directory, "startedat")


def _begin(directory: str, name: str, total: int, now_ns: int) -> None:
    """Makes the small files. A crash may cut them, which the next to open the ingest sees."""
    try:
        os.mkdir(directory, 0o755)
    except FileExistsError:
        pass
    except FileNotFoundError:
        os.makedirs(directory, 0o755)
    moment = times.format_ns(now_ns)
    files = {"ref": name, "startedat": moment, "updatedat": moment}
    if total > 0:
        files["total"] = str(total)
    else:
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(directory, "total"))
    for file, text in files.items():
        disk.write_text(os.path.join(directory, file), text)


def _stored_total(directory: str) -> int:
    text = disk.read_text(os.path.join(directory, "total")) or ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0


def _time_in(directory: str, name: str) -> int | None:
    text = disk.read_text(os.path.join(directory, name))
    return None if text is None else parse_rfc3339(text)


def _hash_file(descriptor: int, running: _Hash) -> int:
    """Feeds the whole file to *running*; returns its length."""
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    offset = 0
    while count := os.preadv(descriptor, [buffer], offset):
        running.update(view[:count])
        offset += count
    return offset


def _remove(directory: str) -> None:
    """Removes the directory with the files that it should hold, and whatever else it may hold."""
    for name in ("ref", "startedat", "updatedat"):
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(directory, name))
    try:
        os.rmdir(directory)
    except FileNotFoundError:
        return
    except OSError:
        disk.remove_tree(directory)
