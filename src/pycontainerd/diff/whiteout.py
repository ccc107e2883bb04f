"""Whiteouts: how a layer removes what layers below it have; see layer.md of the OCI image specification."""

from __future__ import annotations

import os
import stat
from typing import Final, Protocol

from pycontainerd.diff.tar.header import Entry
from pycontainerd.diff.tree import OPEN_DIRECTORY, Directory, Root
from pycontainerd.errors import Unknown

PREFIX: Final = b".wh."
OPAQUE: Final = b".wh..wh..opq"


class Whiteouts(Protocol):
    """What is done for an entry whose name begins with `.wh.`."""

    def apply(self, entry: Entry, parent: Directory, name: bytes) -> None: ...

    def unpacked(self, parent: Directory, name: bytes) -> None:
        """Hears of each file that the layer has put there."""


def hidden_name(name: bytes) -> bytes:
    """What `.wh.NAME` hides. Raises Unknown for a name that would lead elsewhere."""
    hidden = name[len(PREFIX) :]
    if hidden in {b"", b".", b".."}:
        raise Unknown(f"invalid whiteout name: {os.fsdecode(name)}: invalid archive")
    return hidden


class OverlayWhiteouts:
    """For an upper directory of overlayfs, which is not mounted meanwhile: its own marks; see its documentation.

    A hidden file becomes a character device 0:0, an opaque directory gets an attribute; in a user namespace that
    is one of `user.*`.
    """

    def __init__(self, *, user: bool) -> None:
        self._opaque = b"user.overlay.opaque" if user else b"trusted.overlay.opaque"

    def apply(self, entry: Entry, parent: Directory, name: bytes) -> None:
        if name == OPAQUE:
            os.setxattr(parent.fd, self._opaque, b"y")
            return
        hidden = hidden_name(name)
        os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=parent.fd)
        os.chown(hidden, entry.uid, entry.gid, dir_fd=parent.fd, follow_symlinks=False)

    def unpacked(self, parent: Directory, name: bytes) -> None:
        """The marks hide only what lies in other layers."""


class RemovingWhiteouts:
    """For a tree that shows all layers as one: hidden files are removed, but never those of this layer."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._mine: dict[int, set[bytes]] = {}
        """Names that this layer has put into a directory, by its inode."""

    def apply(self, entry: Entry, parent: Directory, name: bytes) -> None:
        if name == OPAQUE:
            self._empty(parent.fd, parent.inode)
        else:
            self._root.remove(parent.fd, hidden_name(name))

    def unpacked(self, parent: Directory, name: bytes) -> None:
        self._mine.setdefault(parent.inode, set()).add(name)

    def _empty(self, top: int, inode: int) -> None:
        """Removes what isn't ours below *top*. However deep it is, one descriptor suffices: the way up goes by `..`."""
        current = os.open(b".", OPEN_DIRECTORY, dir_fd=top)
        pending = [self._clear(current, inode)]
        try:
            while pending[-1] or len(pending) > 1:
                down = bool(pending[-1])
                following = os.open(pending[-1].pop() if down else b"..", OPEN_DIRECTORY, dir_fd=current)
                os.close(current)
                current = following
                if down:
                    pending.append(self._clear(current, os.fstat(current).st_ino))
                else:
                    pending.pop()
        finally:
            os.close(current)

    def _clear(self, directory: int, inode: int) -> list[bytes]:
        """Removes what isn't ours right in the directory; the names of directories that are."""
        kept = self._mine.get(inode, set())
        with os.scandir(directory) as entries:
            children = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, _ in children:
            if name not in kept:
                self._root.remove(directory, name)
        return [name for name, is_directory in children if is_directory and name in kept]
