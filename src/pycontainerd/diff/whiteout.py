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
        """Removes what isn't ours, directory after directory; an inode of a removed one may come again."""
        kept = self._mine.get(inode, set())
        with os.scandir(top) as entries:
            children = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_directory in children:
            if name not in kept:
                self._root.remove(top, name)
            elif is_directory:
                child = os.open(name, OPEN_DIRECTORY, dir_fd=top)
                try:
                    self._empty(child, os.fstat(child).st_ino)
                finally:
                    os.close(child)
