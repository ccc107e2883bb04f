"""The options `uidmap=` and `gidmap=`: a mount that shows its files with other owners; see mount_setattr(2)."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack

from msgspec import Struct

from pycontainerd.errors import InvalidArgument
from pycontainerd.mounts.model import IdRange, parse_id_map
from pycontainerd.system import mount as kernel
from pycontainerd.system import userns


class Mapping(Struct, frozen=True):
    """Both halves of a mapping."""

    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]

    @classmethod
    def parse(cls, uids: str, gids: str) -> Mapping:
        """Raises InvalidArgument if one is missing or no mapping."""
        if not uids or not gids:
            raise InvalidArgument("an id-mapped mount needs both uidmap= and gidmap=")
        return cls(parse_id_map(uids), parse_id_map(gids))

    def open_namespace(self) -> int:
        """A descriptor of a user namespace with this mapping."""
        return userns.open_mapped(_lines(self.uids), _lines(self.gids))


def _lines(ranges: Sequence[IdRange]) -> str:
    return "".join(f"{item.container} {item.host} {item.count}\n" for item in ranges)


def map_mount(target: str, mapping: Mapping) -> None:
    """Replaces the mount at *target* by a mapped copy of itself: one that is attached can't be changed."""
    tree = mapped_copy(target, mapping)
    try:
        kernel.umount(target, kernel.MNT_DETACH)
        kernel.move_mount(tree, "", kernel.AT_FDCWD, target, kernel.MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(tree)


def mapped_copy(path: str, mapping: Mapping, *, attributes: int = 0) -> int:
    """A detached bind mount of *path* with the mapping and further MOUNT_ATTR_*; the caller owns the descriptor."""
    with ExitStack() as stack:
        tree = kernel.open_tree(kernel.AT_FDCWD, path, kernel.OPEN_TREE_CLONE | kernel.OPEN_TREE_CLOEXEC)
        stack.callback(os.close, tree)
        with ExitStack() as inner:
            namespace = mapping.open_namespace()
            inner.callback(os.close, namespace)
            kernel.mount_setattr(
                tree,
                "",
                kernel.AT_EMPTY_PATH,
                set_=kernel.MOUNT_ATTR_IDMAP | attributes,
                userns_fd=namespace,
            )
        stack.pop_all()
    return tree


def map_lower_directories(data: Sequence[str], mapping: Mapping, stack: ExitStack) -> list[str]:
    """Overlay options whose lower directories lie in a mapped, read-only bind of the directory that they share.

    The bind lasts as long as *stack*: until overlayfs has taken its own hold of the layers.
    """
    mapped = []
    for option in data:
        if not option.startswith("lowerdir="):
            mapped.append(option)
            continue
        lower = option.removeprefix("lowerdir=").split(":")
        common = os.path.commonpath([os.path.dirname(path) for path in lower])
        place = tempfile.mkdtemp(prefix="ovl-idmapped")
        stack.callback(os.rmdir, place)
        tree = mapped_copy(common, mapping, attributes=kernel.MOUNT_ATTR_RDONLY)
        stack.callback(os.close, tree)
        kernel.move_mount(tree, "", kernel.AT_FDCWD, place, kernel.MOVE_MOUNT_F_EMPTY_PATH)
        stack.callback(kernel.umount, place, kernel.MNT_DETACH)
        mapped.append("lowerdir=" + ":".join(os.path.join(place, os.path.relpath(path, common)) for path in lower))
    return mapped
