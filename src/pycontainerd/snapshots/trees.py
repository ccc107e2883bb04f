"""Whole trees of files: measured, copied, removed. Everything here blocks.

Trees hold what images and containers put there. So they are walked by descriptors, never by paths: no link leads out,
no mount is entered, and however deep or wide a tree is, one directory is open at a time.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

from msgspec import Struct

from pycontainerd import faults
from pycontainerd.snapshots.model import Usage
from pycontainerd.system.openat2 import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV, openat2

faults.declare("snapshots.remove.partly")

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_INSIDE: Final = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV
_BLOCK: Final = 512
_FICLONE: Final = 0x40049409
_COPY_CHUNK: Final = 1 << 30
_NO_REFLINK: Final = frozenset({errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS})


class TooLarge(Exception):
    """A tree has more entries than its caller wants to go through here."""


class _Budget:
    """Entries that may still be gone through. Without a number all may."""

    __slots__ = ("_left",)

    def __init__(self, entries: int | None) -> None:
        self._left = entries

    def take(self, entries: int) -> None:
        if self._left is not None:
            self._left -= entries
            if self._left < 0:
                raise TooLarge


class Entered(Struct):
    """The walk is in a directory: *entries* lie in it, *name* is its name in the one before (empty at the top)."""

    fd: int
    name: str
    entries: list[os.DirEntry[str]]


class Left(Struct):
    """The walk is back in the parent *fd* of the directory *name*."""

    fd: int
    name: str


def walk(root: str, *, live: bool = False) -> Iterator[Entered | Left]:
    """Every directory of the tree, before and after what is in it. Descriptors hold until the next step.

    In a *live* tree directories may vanish meanwhile. Raises OSError; ESTALE if a directory was moved away while the
    walk was in it.
    """
    fd = os.open(root, _DIRECTORY)
    identities = [_identity(fd)]
    pending = [_read(fd)]
    names = [""]
    try:
        yield Entered(fd, "", pending[-1])
        pending[-1] = [entry for entry in pending[-1] if entry.is_dir(follow_symlinks=False)]
        while True:
            if pending[-1]:
                name = pending[-1].pop().name
                try:
                    child = openat2(fd, name, _DIRECTORY, _INSIDE)
                except FileNotFoundError:
                    if live:
                        continue
                    raise
                os.close(fd)
                fd = child
                identities.append(_identity(fd))
                names.append(name)
                pending.append(_read(fd))
                yield Entered(fd, name, pending[-1])
                pending[-1] = [entry for entry in pending[-1] if entry.is_dir(follow_symlinks=False)]
                continue
            if len(names) == 1:
                return
            name = names.pop()
            pending.pop()
            identities.pop()
            parent = os.open("..", _DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = parent
            if _identity(fd) != identities[-1]:
                raise OSError(errno.ESTALE, "a directory was moved while its tree was walked", root)
            yield Left(fd, name)
    finally:
        os.close(fd)


def _read(fd: int) -> list[os.DirEntry[str]]:
    with os.scandir(fd) as entries:
        return list(entries)


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def usage(root: str, most: int | None = None) -> Usage:
    """The blocks and inodes of the tree, its top included; a file with several names counts once.

    Raises TooLarge if there are more than *most* entries.
    """
    budget = _Budget(most)
    top = os.lstat(root)
    blocks, inodes = top.st_blocks, 1
    seen: set[int] = set()
    for step in walk(root, live=True):
        if isinstance(step, Left):
            continue
        budget.take(len(step.entries))
        for entry in step.entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # gone since the directory was read: an active snapshot is in use
            if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                if status.st_ino in seen:
                    continue
                seen.add(status.st_ino)
            blocks += status.st_blocks
            inodes += 1
    return Usage(blocks * _BLOCK, inodes)


def remove(root: str, most: int | None = None) -> None:
    """Removes the tree with its top; fine if it is gone.

    Raises TooLarge when *most* entries are gone and there are more: another call goes on.
    """
    budget = _Budget(most)
    with suppress(FileNotFoundError):
        for step in walk(root):
            if isinstance(step, Left):
                os.rmdir(step.name, dir_fd=step.fd)
                faults.reach("snapshots.remove.partly")
                continue
            budget.take(len(step.entries))
            for entry in step.entries:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.name, dir_fd=step.fd)
        os.rmdir(root)


def copy(source: str, target: str) -> None:
    """Makes the directory *target* a copy of *source*: owners, modes, times, links, devices, attributes.

    Data is shared where the file system can do that, and holes stay holes. Extended attributes that can't be set are
    left out.
    """
    os.mkdir(target, 0o700)
    copier = _Copier(os.open(target, _DIRECTORY))
    try:
        for step in walk(source):
            if isinstance(step, Entered):
                copier.enter(step)
            else:
                copier.leave(step)
        copier.finish(source)
    finally:
        copier.close()


class _Copier:
    """The target's side of a copy: in the directory that corresponds to the one in which the walk is."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._links: dict[int, str] = {}
        self._path: list[str] = []
        self._top = os.dup(fd)

    def close(self) -> None:
        os.close(self._fd)
        os.close(self._top)

    def enter(self, step: Entered) -> None:
        if step.name:
            os.mkdir(step.name, 0o700, dir_fd=self._fd)
            self._move(os.open(step.name, _DIRECTORY, dir_fd=self._fd))
            self._path.append(step.name)
        for entry in step.entries:
            if not entry.is_dir(follow_symlinks=False):
                self._copy_entry(step.fd, entry)

    def leave(self, step: Left) -> None:
        """Its attributes come last: what was made inside has changed them."""
        source = os.open(step.name, _DIRECTORY, dir_fd=step.fd)
        try:
            _copy_attributes(source, self._fd)
        finally:
            os.close(source)
        self._move(os.open("..", _DIRECTORY, dir_fd=self._fd))
        self._path.pop()

    def finish(self, source: str) -> None:
        fd = os.open(source, _DIRECTORY)
        try:
            _copy_attributes(fd, self._fd)
        finally:
            os.close(fd)

    def _move(self, fd: int) -> None:
        os.close(self._fd)
        self._fd = fd

    def _copy_entry(self, source: int, entry: os.DirEntry[str]) -> None:
        status = entry.stat(follow_symlinks=False)
        name = entry.name
        if status.st_nlink > 1:
            first = self._links.get(status.st_ino)
            if first is not None:
                os.link(first, name, src_dir_fd=self._top, dst_dir_fd=self._fd, follow_symlinks=False)
                return
            self._links[status.st_ino] = "/".join((*self._path, name))
        if stat.S_ISREG(status.st_mode):
            _copy_file(source, self._fd, name, status)
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=self._fd)
            _copy_by_name(source, self._fd, name, status)
        elif stat.S_ISSOCK(status.st_mode):
            return  # a socket without its process is nothing
        else:
            os.mknod(name, status.st_mode, status.st_rdev, dir_fd=self._fd)
            _copy_by_name(source, self._fd, name, status)


def _copy_file(source: int, target: int, name: str, status: os.stat_result) -> None:
    reader = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    try:
        writer = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=target)
        try:
            _copy_data(reader, writer, status.st_size)
            _copy_attributes(reader, writer)
        finally:
            os.close(writer)
    finally:
        os.close(reader)


def _copy_data(reader: int, writer: int, size: int) -> None:
    if not size:
        return
    try:
        fcntl.ioctl(writer, _FICLONE, reader)
    except OSError as error:
        if error.errno not in _NO_REFLINK:
            raise
    else:
        return
    os.ftruncate(writer, size)
    end = 0
    while (start := _next_data(reader, end)) is not None:
        end = os.lseek(reader, start, os.SEEK_HOLE)
        _copy_range(reader, writer, start, end)


def _next_data(fd: int, offset: int) -> int | None:
    """Where data begins at or behind *offset*, None if only a hole follows; see lseek(2)."""
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return None


def _copy_range(reader: int, writer: int, start: int, end: int) -> None:
    while start < end:
        copied = os.copy_file_range(reader, writer, min(end - start, _COPY_CHUNK), start, start)
        if not copied:
            return
        start += copied


def _copy_attributes(source: int, target: int) -> None:
    status = os.fstat(source)
    os.fchown(target, status.st_uid, status.st_gid)
    for key in os.listxattr(source):
        with suppress(OSError):
            os.setxattr(target, key, os.getxattr(source, key))
    # After the owner, which takes setuid away.
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_by_name(source: int, target: int, name: str, status: os.stat_result) -> None:
    """The attributes of what can't be opened: links, devices, pipes."""
    os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    from_path, to_path = f"/proc/self/fd/{source}/{name}", f"/proc/self/fd/{target}/{name}"
    for key in os.listxattr(from_path, follow_symlinks=False):
        with suppress(OSError):
            os.setxattr(to_path, key, os.getxattr(from_path, key, follow_symlinks=False), follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(to_path, stat.S_IMODE(status.st_mode))
    os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target, follow_symlinks=False)
