"""Small steps on the disk that must not be half done; each blocks."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from pycontainerd.errors import Error, ResourceExhausted, Unknown

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raises an OSError of the block as one of ours that says what was done; a full disk as ResourceExhausted."""
    try:
        yield
    except OSError as error:
        kind: type[Error] = ResourceExhausted if error.errno in _FULL else Unknown
        reason = (error.strerror or str(error)).lower()
        raise kind(f"{doing}: {reason}") from error


def sync_directory(path: str) -> None:
    """Makes what was created in or renamed into the directory *path* outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: str, mode: int = 0o755) -> bool:
    """Makes the directory *path*, durably named in its parent; False if it was there."""
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return False
    sync_directory(os.path.dirname(path))
    return True


def replace_text(path: str, text: str) -> None:
    """Writes a small file whole: readers see the old text or the new one."""
    temporary = path + ".tmp"
    write_text(temporary, text)
    os.rename(temporary, path)


def write_text(path: str, text: str) -> None:
    """Writes a small file; a crash may cut it, a full disk raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        write_all(descriptor, text.encode(), 0)
    finally:
        os.close(descriptor)


def read_text(path: str) -> str | None:
    """The text of one of our own small files; None if it is missing or no text."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def write_all(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Writes all of *data* at *offset*; what a full disk cuts off raises the error of the next attempt."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, offset)
        rest = rest[written:]
        offset += written


def remove_tree(path: str) -> None:
    """Removes the directory *path* with all it holds; fine if it is gone."""
    with suppress(FileNotFoundError):
        shutil.rmtree(path)
