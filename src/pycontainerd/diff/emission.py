"""Changes as the entries of a layer; see layer.md of the OCI image specification, and walking differ of containerd.

A deleted name is a whiteout, times are whole seconds, the directories above an entry come before it. Of the names of
one file the first that is written has the data, all others are links to it: also those that did not change.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Final

from pycontainerd.diff.changes import Change, Kind, Place, capability_of, joined, open_file
from pycontainerd.diff.tar import header
from pycontainerd.diff.tar.writing import END, Member, head, padding
from pycontainerd.errors import Unknown

WHITEOUT_PREFIX: Final = b".wh."

_CHUNK: Final = 512 * 1024
_NS: Final = 1_000_000_000
_TYPES: Final = {
    stat.S_IFREG: header.REGULAR,
    stat.S_IFDIR: header.DIRECTORY,
    stat.S_IFLNK: header.SYMLINK,
    stat.S_IFCHR: header.CHARACTER,
    stat.S_IFBLK: header.BLOCK_DEVICE,
    stat.S_IFIFO: header.FIFO,
}


class Emission:
    """Writes changes in the order of the walk. *latest_ns* bounds the times of all files, None for no bound."""

    def __init__(self, write: Callable[[bytes], None], *, latest_ns: int | None = None) -> None:
        self._write = write
        self._latest_ns = latest_ns
        self._first_names: dict[int, bytes] = {}
        self._waiting: dict[int, list[tuple[bytes, Place]]] = {}
        """Unchanged names of files, by inode: they are written if another name of the same file is."""

    def tell(self, change: Change) -> None:
        """Writes what there is to write of *change*. Raises OSError, Unknown if the file changes meanwhile."""
        if change.state is None:
            self._tell_place(change.place)
            self._write(head(Member(joined(change.place.path, WHITEOUT_PREFIX + change.name), header.REGULAR)))
        elif change.below is not None:
            self._tell_place(change.below)
        elif not stat.S_ISSOCK(change.state.st_mode):
            self._tell_file(change, change.state)

    def end(self) -> None:
        self._write(END)

    def _tell_place(self, place: Place) -> None:
        above: list[Place] = []
        while not place.told:
            above.append(place)
            place.told = True
            if place.parent is None:
                break
            place = place.parent
        for each in reversed(above):
            self._write(head(self._member(each.path + b"/", each.state, each.capability)))

    def _tell_file(self, change: Change, state: os.stat_result) -> None:
        path = change.path
        others: list[tuple[bytes, Place]] = []
        first = None
        if state.st_nlink > 1:
            first = self._first_names.get(state.st_ino)
            if first is None:
                if change.kind is Kind.LINKED:
                    self._waiting.setdefault(state.st_ino, []).append((path, change.place))
                    return
                self._first_names[state.st_ino] = path
                others = self._waiting.pop(state.st_ino, others)
        capability = capability_of(change.name)
        self._tell_place(change.place)
        if first is not None:
            self._write(head(self._member(path, state, capability, link=first)))
        else:
            self._tell_whole(change, path, state, capability)
        for name, place in others:
            self._tell_place(place)
            self._write(head(self._member(name, state, capability, link=path)))

    def _tell_whole(self, change: Change, path: bytes, state: os.stat_result, capability: bytes) -> None:
        target = os.readlink(change.name, dir_fd=change.fd) if stat.S_ISLNK(state.st_mode) else b""
        member = self._member(path, state, capability, target=target)
        self._write(head(member))
        if member.type == header.REGULAR and member.size:
            self._copy(change, member.size)

    def _copy(self, change: Change, size: int) -> None:
        left = size
        with open_file(change.fd, change.name) as file:
            while data := file.read(_CHUNK):
                left -= len(data)
                if left < 0:
                    raise Unknown(f"failed to copy: {os.fsdecode(change.path)}: archive/tar: write too long")
                self._write(data)
        if left:
            raise Unknown("short write copying file")
        self._write(padding(size))

    def _member(
        self, name: bytes, state: os.stat_result, capability: bytes, *, link: bytes = b"", target: bytes = b""
    ) -> Member:
        type_ = header.LINK if link else _TYPES[stat.S_IFMT(state.st_mode)]
        is_device = stat.S_ISCHR(state.st_mode) or stat.S_ISBLK(state.st_mode)
        mtime_ns = state.st_mtime_ns if self._latest_ns is None else min(state.st_mtime_ns, self._latest_ns)
        return Member(
            name,
            type_,
            stat.S_IMODE(state.st_mode),
            state.st_uid,
            state.st_gid,
            state.st_size if type_ == header.REGULAR else 0,
            mtime_ns // _NS,
            link or target,
            os.major(state.st_rdev) if is_device else 0,
            os.minor(state.st_rdev) if is_device else 0,
            capability,
        )
