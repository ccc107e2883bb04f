"""Directories of a root that a layer is extracted to, by descriptor: nothing that lies in the root leads out of it.

Links are followed as if the root were `/` (openat2 with RESOLVE_IN_ROOT); what the kernel can't resolve because it is
not there yet, `walk` resolves in the same way, as the container's own kernel would see it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import Final, NamedTuple

from pycontainerd.system.openat2 import RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, openat2

OPEN_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
LINK_LIMIT: Final = 255

_IN_ROOT: Final = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_CACHE_LIMIT: Final = 200
_IMPLIED_MODE: Final = 0o755


class Directory(NamedTuple):
    """An open directory; *inode* tells it from others of the same root, *sgid* that its group is inherited."""

    fd: int
    inode: int
    sgid: bool


def clean(name: bytes) -> bytes:
    """*name* as a path below the root: no leading slash, no `.`, `..` or double slash; empty for the root itself."""
    if name[-1:] == b"/":
        name = name.rstrip(b"/")
    if name[:2] == b"./":
        name = name[2:]
    if b"//" not in name and b"/." not in name and name[:1] not in _SPECIAL:
        return name
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            del parts[-1:]
        elif part not in {b"", b"."}:
            parts.append(part)
    return b"/".join(parts)


_SPECIAL: Final = frozenset({b"", b"/", b"."})


class Root:
    """The directory that a layer is extracted to. Descriptors of directories are kept until something moves."""

    def __init__(self, fd: int, made: Callable[[int, bytes, bytes], None]) -> None:
        """*made* is called with parent, name and path for each directory that is made because it was missing."""
        self.fd = fd
        self._made = made
        self._cache: dict[bytes, Directory] = {}
        self._top = describe(fd)
        self.moved = False
        """Set when a directory or link was removed, or a directory's mode has changed: what is kept may be wrong."""

    def directory(self, path: bytes) -> Directory:
        """The directory at *path* (clean), made with its parents if it is missing. Ours, until the next call.

        Raises NotADirectoryError if something else lies there.
        """
        if self.moved:
            self.forget()
        if not path:
            return self._top
        found = self._cache.get(path)
        if found is None:
            found = self._keep(path, self._open(path))
        return found

    def existing(self, path: bytes) -> Directory:
        """As `directory`, but nothing is made: raises FileNotFoundError."""
        if self.moved:
            self.forget()
        if not path:
            return self._top
        found = self._cache.get(path)
        if found is None:
            found = self._keep(path, open_directory(self.fd, path))
        return found

    def remove(self, parent: int, name: bytes) -> None:
        """Removes *name* from a directory of this root, and all below it."""
        if remove(parent, name):
            self.moved = True

    def _keep(self, path: bytes, fd: int) -> Directory:
        if len(self._cache) >= _CACHE_LIMIT:
            self.forget()
        found = self._cache[path] = describe(fd)
        return found

    def _open(self, path: bytes) -> int:
        try:
            return open_directory(self.fd, path)
        except FileNotFoundError:
            real = walk(self.fd, path)
        self._make(real)
        return open_directory(self.fd, b"/".join(real))

    def _make(self, parts: list[bytes]) -> None:
        """Makes what is missing of a path without links."""
        parent = os.open(b".", OPEN_DIRECTORY, dir_fd=self.fd)
        try:
            for index, name in enumerate(parts):
                try:
                    os.mkdir(name, _IMPLIED_MODE, dir_fd=parent)
                except FileExistsError:
                    pass
                else:
                    # It may have inherited the set-group-id bit.
                    os.chmod(name, _IMPLIED_MODE, dir_fd=parent)
                    self._made(parent, name, b"/".join(parts[: index + 1]))
                child = os.open(name, OPEN_DIRECTORY, dir_fd=parent)
                os.close(parent)
                parent = child
        finally:
            os.close(parent)

    def forget(self) -> None:
        """Closes what is kept."""
        self.moved = False
        for kept in self._cache.values():
            os.close(kept.fd)
        self._cache.clear()
        self._top = describe(self.fd)


def describe(fd: int) -> Directory:
    """The facts of an open directory."""
    state = os.fstat(fd)
    return Directory(fd, state.st_ino, bool(state.st_mode & stat.S_ISGID))


def open_directory(root: int, path: bytes) -> int:
    """Opens the directory at *path* as a process whose root is *root* would, links included."""
    return _patient(root, path, os.O_RDONLY | os.O_DIRECTORY)


def open_path(root: int, path: bytes, *, follow: bool) -> int:
    """An O_PATH descriptor of what lies at *path* below *root*."""
    return _patient(root, path, os.O_PATH | (0 if follow else os.O_NOFOLLOW))


def _patient(root: int, path: bytes, flags: int) -> int:
    """openat2 that tries again when a rename elsewhere on the machine disturbed `..` (EAGAIN)."""
    while True:
        try:
            return openat2(root, path or b".", flags, _IN_ROOT)
        except BlockingIOError:
            continue


def walk(root: int, path: bytes) -> list[bytes]:
    """The parts of *path* with links resolved inside *root*; where nothing is there yet they are taken as they are.

    Raises OSError: ELOOP after 255 links, NotADirectoryError where a file stands in the way.
    """
    real: list[bytes] = []
    waiting = path.split(b"/")[::-1]
    links = 0
    while waiting:
        part = waiting.pop()
        if part in {b"", b"."}:
            continue
        if part == b"..":
            del real[-1:]
            continue
        target = _link_target(root, [*real, part])
        if target is None:
            real.append(part)
            continue
        links += 1
        if links > LINK_LIMIT:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fsdecode(path))
        if target.startswith(b"/"):
            real.clear()
        waiting.extend(target.split(b"/")[::-1])
    return real


def _link_target(root: int, parts: list[bytes]) -> bytes | None:
    """Where the link at a path without other links points; None if there is no link or nothing at all."""
    try:
        found = open_path(root, b"/".join(parts), follow=False)
    except FileNotFoundError:
        return None
    try:
        if not stat.S_ISLNK(os.fstat(found).st_mode):
            return None
        return os.readlink(b"", dir_fd=found)
    finally:
        os.close(found)


def remove(parent: int, name: bytes) -> bool:
    """Removes *name* and everything below it; whether it was a directory or a link, by which other paths may lead.

    Nothing there is fine. However deep a tree is, two descriptors suffice: the way back up goes by `..`.
    """
    try:
        kind = stat.S_IFMT(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False
    if kind != stat.S_IFDIR:
        os.unlink(name, dir_fd=parent)
        return kind == stat.S_IFLNK
    empty(parent, name)
    os.rmdir(name, dir_fd=parent)
    return True


def empty(parent: int, name: bytes) -> None:
    """Removes everything below the directory *name*."""
    trail = [name]
    current = os.open(name, OPEN_DIRECTORY, dir_fd=parent)
    try:
        while True:
            below = _unlink_files(current)
            if below is None:
                done = trail.pop()
                if not trail:
                    return
                above = os.open(b"..", OPEN_DIRECTORY, dir_fd=current)
                os.close(current)
                current = above
                os.rmdir(done, dir_fd=current)
            else:
                trail.append(below)
                child = os.open(below, OPEN_DIRECTORY, dir_fd=current)
                os.close(current)
                current = child
    finally:
        os.close(current)


def _unlink_files(fd: int) -> bytes | None:
    """Removes what is no directory from *fd*; the name of a directory that is there, None if there is none."""
    with os.scandir(fd) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            if entry.is_dir(follow_symlinks=False):
                return name
            os.unlink(name, dir_fd=fd)
    return None
