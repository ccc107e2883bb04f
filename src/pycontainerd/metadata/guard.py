"""A root is only for the daemon whose metadata it has.

A daemon that meets blobs and snapshots without the rows that name them would take them all for garbage. So ours
refuses to start there, and it leaves a `meta.db` that the original can't read, so that the original refuses as well.
The same file is locked, as the original locks its own: one daemon has a root at a time.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pycontainerd.errors import FailedPrecondition

DATABASE: Final = "meta.sqlite"
PLACEHOLDER: Final = "meta.db"

_TEXT: Final = (
    b"This root belongs to pycontainerd: its metadata is in meta.sqlite.\n"
    b"This file keeps containerd from starting here: without metadata it would delete every image and snapshot.\n"
)
# Longer than the two pages from which bbolt may try to read a header, whatever its page size.
_PLACEHOLDER_SIZE: Final = 2 * 65_536
_BOLT_MAGIC: Final = (0xED0CDAED).to_bytes(4, "little")
_BOLT_MAGIC_AT: Final = 16


@contextmanager
def claimed(root: Path, directory: Path) -> Iterator[Path]:
    """The path of the database in *directory* below *root*, for one daemon at a time.

    Raises FailedPrecondition if another daemon has it, if it is the original's, or if *root* has blobs or snapshots
    but the database is new.
    """
    directory.mkdir(mode=0o711, parents=True, exist_ok=True)
    database, placeholder = directory / DATABASE, directory / PLACEHOLDER
    is_new = not database.exists() or not database.stat().st_size
    if _is_bolt(placeholder):
        raise FailedPrecondition(
            f"root {root} belongs to a containerd that is not pycontainerd: {placeholder} is its metadata",
            hint="choose another root; its images, blobs and snapshots would be deleted otherwise",
        )
    if is_new:
        _refuse_unnamed(root, database)
    descriptor = os.open(placeholder, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _lock(descriptor, root)
        _fill(descriptor)
        yield database
    finally:
        os.close(descriptor)


def _lock(descriptor: int, root: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno != errno.EWOULDBLOCK:
            raise
        raise FailedPrecondition(f"root {root} is in use by another daemon") from None


def _fill(descriptor: int) -> None:
    if os.fstat(descriptor).st_size:
        return
    os.pwrite(descriptor, _TEXT.ljust(_PLACEHOLDER_SIZE, b"\n"), 0)
    os.fsync(descriptor)


def _is_bolt(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            header = file.read(_BOLT_MAGIC_AT + len(_BOLT_MAGIC))
    except FileNotFoundError:
        return False
    return header[_BOLT_MAGIC_AT:] == _BOLT_MAGIC


def _refuse_unnamed(root: Path, database: Path) -> None:
    found = next(_stored(root), None)
    if found is not None:
        raise FailedPrecondition(
            f"root {root} has {found} but no metadata: {database} is missing or empty",
            hint="restore it from a backup, or choose an empty root: what no metadata names would be deleted",
        )


def _stored(root: Path) -> Iterator[Path]:
    """Blobs and snapshots below *root*, where the original and we put them."""
    yield from root.glob("io.containerd.content.v1.content/blobs/*/*")
    yield from root.glob("io.containerd.snapshotter.v1.*/snapshots/*")
