"""Blobs and ingests: the bytes against the digests, and rows against files."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from pycontainerd import disk
from pycontainerd.checking.model import Finding, Tally, What
from pycontainerd.content import rows
from pycontainerd.content.ingest import directory_name
from pycontainerd.content.model import Digest, InvalidDigest, hasher
from pycontainerd.metadata import kinds

_CHUNK: Final = 1 << 20
_BLOBS: Final = "SELECT DISTINCT digest, size FROM blobs ORDER BY digest"
_NEEDED_BY: Final = """
SELECT namespaces.name || ' ' || objects.name
FROM images JOIN objects ON objects.id = images.id JOIN objects AS namespaces ON namespaces.id = objects.namespace
WHERE images.target_digest = ? ORDER BY 1
"""
_FORGET_BLOB: Final = "DELETE FROM objects WHERE kind = ? AND name = ?"
_FORGET_SHARE: Final = "DELETE FROM objects WHERE id IN (SELECT id FROM ingests WHERE expected = ?)"


@dataclass(frozen=True, slots=True)
class Content:
    """The content store below *root*, and the *connection* to the metadata."""

    root: Path
    connection: sqlite3.Connection

    def check(self, tally: Tally) -> Iterator[Finding]:
        """Reads every byte of every blob."""
        known = dict(self.connection.execute(_BLOBS).fetchall())
        files = {str(digest): digest for digest in self._files()}
        for digest in sorted(known.keys() - files.keys()):
            yield Finding(What.MISSING_BLOB, digest, self._needed(digest), known[digest], partial(self._forget, digest))
        shared = rows.all_named(self.connection)
        for digest in sorted(files.keys() - known.keys() - shared):
            size = os.stat(self._path(files[digest])).st_size
            mend = partial(os.unlink, self._path(files[digest]))
            yield Finding(What.ORPHANED_BLOB, digest, "no namespace has it", size, mend)
        yield from self._damaged([files[digest] for digest in sorted(files.keys() & known.keys())], known, tally)
        yield from self._ingests(tally)

    def _damaged(self, digests: list[Digest], sizes: dict[str, int], tally: Tally) -> Iterator[Finding]:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for digest, (found, size) in zip(digests, pool.map(self._read, digests), strict=True):
                tally.blobs += 1
                tally.blob_bytes += size
                name = str(digest)
                if found != digest:
                    reason = f"its bytes are {found}, {self._needed(name)}"
                elif size != sizes[name]:
                    reason = f"recorded with {sizes[name]} bytes, has {size}, {self._needed(name)}"
                else:
                    continue
                yield Finding(What.BROKEN_BLOB, name, reason, size, partial(self._drop, digest))

    def _read(self, digest: Digest) -> tuple[Digest, int]:
        running, size = hasher(digest.algorithm), 0
        with open(self._path(digest), "rb", buffering=0) as file:
            while data := file.read(_CHUNK):
                running.update(data)
                size += len(data)
        return Digest(digest.algorithm, running.hexdigest()), size

    def _ingests(self, tally: Tally) -> Iterator[Finding]:
        named = {directory_name(name) for name in rows.all_ingests(self.connection)}
        for name in sorted(names(self.root / "ingest")):
            tally.ingests += 1
            if name not in named:
                place = self.root / "ingest" / name
                ref = disk.read_text(str(place / "ref")) or "without a reference"
                size = sum(os.stat(entry).st_size for entry in os.scandir(place)) if place.is_dir() else 0
                mend = partial(disk.remove_tree, str(place))
                yield Finding(What.ORPHANED_INGEST, name, f"no row names it: {ref}", size, mend)

    def _drop(self, digest: Digest) -> None:
        # The rows first: whoever asks between the two must not be told that the blob is there.
        self._forget(str(digest))
        os.unlink(self._path(digest))

    def _forget(self, digest: str) -> None:
        self.connection.execute(_FORGET_BLOB, (kinds.CONTENT, digest))
        self.connection.execute(_FORGET_SHARE, (digest,))

    def _needed(self, digest: str) -> str:
        images = [name for (name,) in self.connection.execute(_NEEDED_BY, (digest,))]
        return f"the target of {', '.join(images)}" if images else "no image's target"

    def _files(self) -> Iterator[Digest]:
        for algorithm in names(self.root / "blobs"):
            for encoded in names(self.root / "blobs" / algorithm):
                try:
                    yield Digest.parse(f"{algorithm}:{encoded}")
                except InvalidDigest:
                    continue  # nobody's business: the collector leaves it as well

    def _path(self, digest: Digest) -> str:
        return os.path.join(self.root, "blobs", digest.algorithm, digest.encoded)


def names(directory: Path) -> list[str]:
    """What *directory* holds; nothing if it is not there."""
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
