"""What makes one file tree another: both are walked side by side, in the order of the bytes of their names.

Every directory is opened from the one above it, so that nothing in the trees, which may be a container's own, leads out
of them. A directory that is gone is one change, whatever was in it; of one that is new, each entry is.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from pycontainerd.diff.tree import OPEN_DIRECTORY

CAPABILITY: Final = "security.capability"

_CHUNK: Final = 128 * 1024
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NS: Final = 1_000_000_000


class Kind(Enum):
    """How an entry differs. LINKED is the same on both sides, and has other names that may have changed."""

    ADDED = auto()
    MODIFIED = auto()
    DELETED = auto()
    LINKED = auto()


@dataclass(eq=False, slots=True)
class Place:
    """A directory of the newer tree, and what writing it takes; *told* when it has been written."""

    path: bytes
    state: os.stat_result
    parent: Place | None
    capability: bytes
    told: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. *place* is the directory of the entry *name*, *state* that of the newer tree (None: deleted).

    *fd* is the directory, open until the next change is asked for; the working directory is the same one.
    """

    kind: Kind
    place: Place
    name: bytes
    state: os.stat_result | None
    fd: int = -1
    below: Place | None = None
    """The entry itself, if it is a directory."""

    @property
    def path(self) -> bytes:
        return joined(self.place.path, self.name)


def joined(directory: bytes, name: bytes) -> bytes:
    """A path below the root; that of the root is empty."""
    return directory + b"/" + name if directory else name


@dataclass(eq=False, slots=True)
class _Level:
    """A pair of open directories and the names in them that are still to be compared; -1 for a side without one."""

    older: int
    newer: int
    place: Place
    names: Iterator[bytes] = field(default_factory=lambda: iter(()))
    older_names: frozenset[bytes] = frozenset()
    newer_names: frozenset[bytes] = frozenset()

    def close(self) -> None:
        for fd in (self.older, self.newer):
            if fd >= 0:
                os.close(fd)


def changes(older: int, newer: int) -> Iterator[Change]:
    """What changed from the directory *older* to *newer*, each -1 for an empty tree. Raises OSError.

    The descriptors stay the caller's.
    """
    root = Place(b"", os.stat_result((0,) * 10) if newer < 0 else os.fstat(newer), None, b"", told=True)
    levels = [_opened(_copied(older), _copied(newer), root)]
    try:
        while levels:
            level = levels[-1]
            name = next(level.names, None)
            if name is None:
                levels.pop().close()
                continue
            below = yield from _compared(level, name)
            if below is not None:
                levels.append(below)
    finally:
        for level in levels:
            level.close()


def _copied(fd: int) -> int:
    return os.open(".", OPEN_DIRECTORY, dir_fd=fd) if fd >= 0 else -1


def _opened(older: int, newer: int, place: Place) -> _Level:
    level = _Level(older, newer, place)
    try:
        level.older_names, level.newer_names = _names(older), _names(newer)
    except BaseException:
        level.close()
        raise
    level.names = iter(sorted(level.older_names | level.newer_names))
    return level


def _names(fd: int) -> frozenset[bytes]:
    return frozenset(map(os.fsencode, os.listdir(fd))) if fd >= 0 else frozenset()


def _compared(level: _Level, name: bytes) -> Generator[Change, None, _Level | None]:
    """Yields what there is to say of *name*; returns the level below, if it is a directory of the newer tree."""
    if name not in level.newer_names:
        yield Change(Kind.DELETED, level.place, name, None)
        return None
    state = _stat(level.newer, name)
    os.fchdir(level.newer)
    before = _stat(level.older, name) if name in level.older_names else None
    is_directory = stat.S_ISDIR(state.st_mode)
    below = None
    if is_directory:
        below = Place(joined(level.place.path, name), state, level.place, capability_of(name))
    kind: Kind | None = Kind.ADDED
    if before is not None:
        kind = _kind(level, name, before, state)
        os.fchdir(level.newer)
    if kind is not None:
        yield Change(kind, level.place, name, state, level.newer, below)
    if below is None:
        return None
    both = before is not None and stat.S_ISDIR(before.st_mode)
    older = os.open(name, OPEN_DIRECTORY, dir_fd=level.older) if both else -1
    try:
        newer = os.open(name, OPEN_DIRECTORY, dir_fd=level.newer)
    except BaseException:
        if older >= 0:
            os.close(older)
        raise
    return _opened(older, newer, below)


def _kind(level: _Level, name: bytes, before: os.stat_result, state: os.stat_result) -> Kind | None:
    if not _same(level, name, before, state):
        return Kind.MODIFIED
    linked = state.st_nlink > 1 and not stat.S_ISDIR(state.st_mode)
    return Kind.LINKED if linked else None


def _stat(directory: int, name: bytes) -> os.stat_result:
    return os.stat(name, dir_fd=directory, follow_symlinks=False)


def _same(level: _Level, name: bytes, before: os.stat_result, state: os.stat_result) -> bool:
    """Whether nothing of the entry changed, as far as a layer could say it.

    Two times of whole seconds may have been cut by an archive: then the bytes are compared.
    """
    if (before.st_dev, before.st_ino) == (state.st_dev, state.st_ino):
        return True
    if _facts(before) != _facts(state) or _capability_in(level.older, name) != _capability_in(level.newer, name):
        return False
    if stat.S_ISDIR(state.st_mode):
        return True
    if before.st_size != state.st_size or before.st_mtime_ns != state.st_mtime_ns:
        return False
    if state.st_mtime_ns % _NS:
        return True
    if stat.S_ISLNK(state.st_mode):
        return os.readlink(name, dir_fd=level.older) == os.readlink(name, dir_fd=level.newer)
    return not state.st_size or _equal(level.older, level.newer, name)


def _facts(state: os.stat_result) -> tuple[int, int, int, int]:
    return state.st_mode, state.st_uid, state.st_gid, state.st_rdev


def _capability_in(directory: int, name: bytes) -> bytes:
    os.fchdir(directory)
    return capability_of(name)


def capability_of(name: bytes) -> bytes:
    """The attribute of *name* in the working directory, which is not followed; empty without. Raises OSError."""
    try:
        return os.getxattr(name, CAPABILITY, follow_symlinks=False)
    except OSError as error:
        if error.errno in {errno.ENODATA, errno.ENOTSUP}:
            return b""
        raise


def _equal(older: int, newer: int, name: bytes) -> bool:
    with open_file(older, name) as first, open_file(newer, name) as second:
        while True:
            left, right = first.read(_CHUNK), second.read(_CHUNK)
            if left != right:
                return False
            if not left:
                return True


class open_file:  # noqa: N801 - used as a function
    """A regular file of a directory, for reading; nothing that took its place meanwhile is waited for."""

    __slots__ = ("_fd",)

    def __init__(self, directory: int, name: bytes) -> None:
        self._fd = os.open(name, _OPEN, dir_fd=directory)

    def read(self, size: int) -> bytes:
        return os.read(self._fd, size)

    def __enter__(self) -> open_file:
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._fd)
