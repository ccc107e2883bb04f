"""Entries of a layer become files below a descriptor; the rules are those of the original's archive package.

In order for each: its parent is found or made, what lies in its place is removed (two directories are merged), it is
created, then owner, attributes, mode and times are set, since each of these may undo one that was set before. Times of
directories come last of all: every file that is put into one changes them. What the kernel has set by creating is not
set again: a small file costs open, write, times, close.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from pycontainerd.diff import attributes
from pycontainerd.diff.tar import header
from pycontainerd.diff.tar.header import Entry
from pycontainerd.diff.tar.reader import Reader
from pycontainerd.diff.tree import OPEN_DIRECTORY, Directory, Root, clean, open_directory
from pycontainerd.diff.whiteout import PREFIX, OverlayWhiteouts, RemovingWhiteouts, Whiteouts
from pycontainerd.errors import Unknown

CREATE: Final = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC

_SPECIAL_BITS: Final = stat.S_ISUID | stat.S_ISGID
_SMALL: Final = 1 << 16
_LATEST_NS: Final = (1 << 63) - 1
_32_BITS: Final = 0xFFFFFFFF
_WARNINGS_LIMIT: Final = 100
_DEVICES: Final = frozenset({header.CHARACTER, header.BLOCK_DEVICE})
_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""A directory that a later entry has removed, or whose parent is now something else, be it a link to itself."""

_WITH_USER_ATTRIBUTES: Final = frozenset({header.REGULAR, header.DIRECTORY})

MakeDevice = Callable[[int, bytes, int, int], None]
"""Makes a device node: directory, name, mode with type, device number."""


@dataclass(slots=True)
class Statistics:
    """What a layer came to."""

    entries: int = 0
    warnings: list[str] = field(default_factory=list)


class Extraction:
    """One layer on its way to one directory. This process's umask must be 0."""

    def __init__(
        self,
        fd: int,
        *,
        lower: Sequence[int] = (),
        overlay: bool,
        user_namespace: bool = False,
        make_device: MakeDevice | None = None,
    ) -> None:
        """Extracts to the directory *fd*.

        *overlay*: it is the fresh upper directory of an overlay with the directories *lower*, nearest first. Without
        *make_device* devices are left out with a warning.
        """
        self.statistics = Statistics()
        self._root = Root(fd, self._made)
        self._whiteouts: Whiteouts = OverlayWhiteouts(user=user_namespace) if overlay else RemovingWhiteouts(self._root)
        self._lower = lower
        self._user_namespace = user_namespace
        self._make_device = make_device
        # In a directory of others a default ACL may change the mode of what is made there.
        self._exact_modes = not attributes.is_bare(fd)
        self._uid, self._gid = os.geteuid(), os.getegid()
        self._directories: dict[bytes, tuple[int, int]] = {}

    def run(self, reader: Reader) -> None:
        """Extracts every entry of *reader*. Raises Unknown, which names the entry, for what can't be extracted."""
        try:
            self._run(reader)
        finally:
            self._root.forget()

    def _run(self, reader: Reader) -> None:
        for entry in reader:
            self.statistics.entries += 1
            if entry.type == header.PAX_GLOBAL:
                continue
            try:
                self._extract(entry, reader)
            except OSError as error:
                raise self._failure(entry, error) from error
        self._finish_directories()

    def _failure(self, entry: Entry, error: OSError) -> Unknown:
        name = os.fsdecode(entry.name)
        hint = ""
        if error.errno == errno.EINVAL and self._user_namespace:
            hint = "try increasing the number of subordinate IDs in /etc/subuid and /etc/subgid"
            name = f"{name} (UID {entry.uid}, GID {entry.gid})"
        return Unknown(f"failed to extract {name!r}: {reason(error)}{f' (Hint: {hint})' if hint else ''}")

    def _extract(self, entry: Entry, reader: Reader) -> None:
        path = clean(entry.name)
        parent_path, _, name = path.rpartition(b"/")
        if not name:
            return
        if not (0 <= entry.uid < _32_BITS and 0 <= entry.gid < _32_BITS):
            entry.uid, entry.gid = as_id(entry.uid), as_id(entry.gid)
        parent = self._root.directory(parent_path)
        if name.startswith(PREFIX):
            self._whiteouts.apply(entry, parent, name)
            return
        if entry.type == header.REGULAR:
            self._file(entry, parent, name, reader)
        elif entry.type == header.DIRECTORY:
            self._directory(entry, parent, name)
            self._directories[path] = times(entry)
        elif not self._special(entry, parent, name):
            return
        if entry.type != header.DIRECTORY:
            self._directories.pop(path, None)
        self._whiteouts.unpacked(parent, name)

    def _special(self, entry: Entry, parent: Directory, name: bytes) -> bool:
        """What is neither file nor directory. Whether there is something now."""
        match entry.type:
            case header.LINK:
                self._link(entry, parent, name)
                return True
            case header.SYMLINK:
                self._replacing(parent, name, lambda: os.symlink(entry.link_name, name, dir_fd=parent.fd))
            case header.FIFO:
                self._replacing(parent, name, lambda: os.mkfifo(name, entry.mode & 0o7777, dir_fd=parent.fd))
            case header.CHARACTER | header.BLOCK_DEVICE:
                if not self._device(entry, parent, name):
                    return False
            case _:
                raise Unknown(f"unhandled tar header type {entry.type[0]}")
        self._set_unopened(entry, parent, name)
        return True

    def _replacing(self, parent: Directory, name: bytes, make: Callable[[], None]) -> None:
        """Makes something new at *name*; what is there is removed first."""
        try:
            make()
        except FileExistsError:
            self._root.remove(parent.fd, name)
            make()

    def _file(self, entry: Entry, parent: Directory, name: bytes, reader: Reader) -> None:
        mode = entry.mode & 0o7777
        try:
            fd = os.open(name, CREATE, mode, dir_fd=parent.fd)
        except FileExistsError:
            self._root.remove(parent.fd, name)
            fd = os.open(name, CREATE, mode, dir_fd=parent.fd)
        try:
            if entry.sparse is not None:
                write_sparse(fd, reader, entry)
            elif entry.size > _SMALL:
                write_all(fd, reader.data())
            elif entry.size:
                write_all(fd, (reader.whole(entry.size),))
            chowned = parent.sgid or entry.uid != self._uid or entry.gid != self._gid
            if chowned:
                os.chown(fd, entry.uid, entry.gid)
            if entry.xattrs:
                self._set_attributes(entry, fd)
            if self._exact_modes or (chowned and mode & _SPECIAL_BITS):
                os.chmod(fd, mode)
            os.utime(fd, ns=times(entry))
        finally:
            os.close(fd)

    def _directory(self, entry: Entry, parent: Directory, name: bytes) -> None:
        mode = entry.mode & 0o7777
        merged = False
        try:
            os.mkdir(name, mode, dir_fd=parent.fd)
        except FileExistsError:
            present = os.stat(name, dir_fd=parent.fd, follow_symlinks=False).st_mode
            merged = stat.S_ISDIR(present)
            if merged:
                self._root.moved |= (present ^ mode) & stat.S_ISGID != 0
            else:
                self._root.remove(parent.fd, name)
                os.mkdir(name, mode, dir_fd=parent.fd)
        as_made = entry.uid == self._uid and entry.gid == self._gid and not mode & _SPECIAL_BITS
        if as_made and not (merged or parent.sgid or entry.xattrs or self._exact_modes):
            return
        fd = os.open(name, OPEN_DIRECTORY, dir_fd=parent.fd)
        try:
            os.chown(fd, entry.uid, entry.gid)
            if entry.xattrs:
                self._set_attributes(entry, fd)
            os.chmod(fd, mode)
        finally:
            os.close(fd)

    def _finish_directories(self) -> None:
        """Sets the times of directories, those that are still there."""
        for path, ns in self._directories.items():
            parent, _, name = path.rpartition(b"/")
            try:
                os.utime(name, ns=ns, dir_fd=self._root.existing(parent).fd, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _GONE:
                    raise

    def _link(self, entry: Entry, parent: Directory, name: bytes) -> None:
        """A hard link to another entry; what it says of owner, mode and times holds for that one as well."""
        target_parent, _, target = clean(entry.link_name).rpartition(b"/")
        if not target:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        source = open_directory(self._root.fd, target_parent)
        try:
            self._replacing(
                parent,
                name,
                lambda: os.link(target, name, src_dir_fd=source, dst_dir_fd=parent.fd, follow_symlinks=False),
            )
        finally:
            os.close(source)
        present = os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
        mode = stat.S_IMODE(present.st_mode)
        if (present.st_uid, present.st_gid) != (entry.uid, entry.gid):
            os.chown(name, entry.uid, entry.gid, dir_fd=parent.fd, follow_symlinks=False)
            mode &= ~_SPECIAL_BITS
        if entry.xattrs:
            self._set_attributes(entry, parent, name)
        if not stat.S_ISLNK(present.st_mode) and mode != entry.mode & 0o7777:
            os.chmod(name, entry.mode & 0o7777, dir_fd=parent.fd)
        os.utime(name, ns=times(entry), dir_fd=parent.fd, follow_symlinks=False)

    def _device(self, entry: Entry, parent: Directory, name: bytes) -> bool:
        """A block or character device, made by somebody who may. Whether there is one now."""
        make = self._make_device
        if make is None:
            self._warn(f"device {os.fsdecode(entry.name)!r} was left out: devices can't be made in a user namespace")
            return False
        kind = stat.S_IFCHR if entry.type == header.CHARACTER else stat.S_IFBLK
        device = os.makedev(entry.device_major & _32_BITS, entry.device_minor & _32_BITS)
        self._replacing(parent, name, lambda: make(parent.fd, name, kind | (entry.mode & 0o7777), device))
        return True

    def _set_unopened(self, entry: Entry, parent: Directory, name: bytes) -> None:
        """Owner, attributes, mode and times of what can't or must not be opened: a link, a fifo, a device."""
        chowned = parent.sgid or entry.uid != self._uid or entry.gid != self._gid
        if chowned:
            os.chown(name, entry.uid, entry.gid, dir_fd=parent.fd, follow_symlinks=False)
        if entry.xattrs:
            self._set_attributes(entry, parent, name)
        made_elsewhere = entry.type in _DEVICES  # under another umask
        if entry.type != header.SYMLINK and (self._exact_modes or chowned or made_elsewhere):
            os.chmod(name, entry.mode & 0o7777, dir_fd=parent.fd)
        os.utime(name, ns=times(entry), dir_fd=parent.fd, follow_symlinks=False)

    def _set_attributes(self, entry: Entry, place: int | Directory, name: bytes = b"") -> None:
        """Extended attributes of an open file, or of *name* in a directory, the only way to reach a link's."""
        self._exact_modes |= attributes.DEFAULT_ACL in entry.xattrs
        for key, value in entry.xattrs.items():
            if key.startswith(attributes.TRUSTED):
                self._warn(f"attribute {os.fsdecode(key)} of {os.fsdecode(entry.name)!r} was left out")
            elif isinstance(place, int):
                attributes.set_one(place, key, value)
            else:
                os.fchdir(place.fd)
                attributes.set_one(name, key, value, special=entry.type not in _WITH_USER_ATTRIBUTES)

    def _made(self, parent: int, name: bytes, path: bytes) -> None:
        """Gives a directory that no entry of this layer describes what the nearest layer below has for it."""
        for lower in self._lower:
            try:
                source = open_directory(lower, path)
            except FileNotFoundError:
                continue
            except NotADirectoryError:
                return  # replaced in that layer: there is nothing to take over
            try:
                self._exact_modes |= attributes.copy_directory(source, parent, name)
            finally:
                os.close(source)
            return

    def _warn(self, text: str) -> None:
        if len(self.statistics.warnings) < _WARNINGS_LIMIT:
            self.statistics.warnings.append(text)


def as_id(number: int) -> int:
    """An id as the kernel understands a number of any size: 32 bits of it, all of them set for none."""
    number &= _32_BITS
    return -1 if number == _32_BITS else number


def reason(error: OSError) -> str:
    """What the kernel said, as the original writes it: in lower case."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def times(entry: Entry) -> tuple[int, int]:
    """Access and modification time to set: access is never the older one, and neither is out of 64 bits' range."""
    mtime = entry.mtime_ns
    atime = entry.atime_ns
    latest = mtime if atime is None or atime < mtime else atime
    return latest if 0 <= latest <= _LATEST_NS else 0, mtime if 0 <= mtime <= _LATEST_NS else 0


def write_all(fd: int, pieces: Iterable[memoryview | bytes]) -> None:
    """Writes all of *pieces*, however little the kernel takes at once."""
    for piece in pieces:
        written = os.write(fd, piece)
        while written < len(piece):
            written += os.write(fd, memoryview(piece)[written:])


def write_sparse(fd: int, reader: Reader, entry: Entry) -> None:
    """Writes the fragments that a sparse file has; the rest of it is a hole."""
    for start, piece in reader.fragments(entry):
        offset = start
        view = memoryview(piece)
        while view:
            written = os.pwrite(fd, view, offset)
            offset += written
            view = view[written:]
    os.ftruncate(fd, entry.size)
