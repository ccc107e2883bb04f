"""overlayfs: layers stay apart on disk and the kernel shows them as one; see overlayfs.rst of the kernel.

snapshots/<number>/
    fs/     0755, what the snapshot has of its own; owned as the root of the container is to be
    work/   0711, overlay's own, of active snapshots
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from pycontainerd.mounts.model import Mount
from pycontainerd.snapshots import id_mapping
from pycontainerd.snapshots.directories import Directories, make_exactly
from pycontainerd.snapshots.local import LocalSnapshotter
from pycontainerd.snapshots.model import LABEL_GID_MAPPING, LABEL_UID_MAPPING, Info, Kind, Mounts
from pycontainerd.snapshots.records import Record, Records
from pycontainerd.snapshots.tree_work import Trees
from pycontainerd.spawner.aio import Spawner
from pycontainerd.threads import Threads

LABEL_UPPER: Final = "containerd.io/snapshot/overlay.upperdir"


class OverlayLayout:
    """Where overlay's directories are and how they are mounted; *options* come after our own."""

    def __init__(
        self, directories: Directories, options: Sequence[str], *, remaps_ids: bool, shows_upper: bool
    ) -> None:
        self._directories = directories
        self._options = tuple(options)
        self._remaps_ids = remaps_ids
        self._shows_upper = shows_upper

    def source(self, kind: Kind, parents: Sequence[int]) -> str | None:
        return None

    def fill(self, directory: str, kind: Kind, parents: Sequence[int], labels: Mapping[str, str]) -> None:
        owner = id_mapping.root_pair(labels)
        os.mkdir(directory, 0o700)
        upper = os.path.join(directory, "fs")
        make_exactly(upper, 0o755)
        if kind is Kind.ACTIVE:
            make_exactly(os.path.join(directory, "work"), 0o711)
        if parents:
            below = os.stat(self._upper(parents[0]))
            owner = (below.st_uid if owner[0] is None else owner[0], below.st_gid if owner[1] is None else owner[1])
        uid, gid = (-1 if number is None else number for number in owner)
        if (uid, gid) != (-1, -1):
            os.chown(upper, uid, gid, follow_symlinks=False)

    def mounts(self, record: Record, chain: Sequence[int]) -> Mounts:
        own, parents = chain[0], chain[1:]
        mapped = self._mapping_options(record.info.labels)
        if record.info.kind is Kind.VIEW and len(parents) <= 1:
            # An overlay of one layer is no overlay.
            shown = parents[0] if parents else own
            return (Mount("bind", self._upper(shown), "", (*mapped, "ro", "rbind")),)
        if not parents:
            return (Mount("bind", self._upper(own), "", (*mapped, "rw", "rbind")),)
        options = list(mapped)
        if record.info.kind is Kind.ACTIVE:
            options.append(f"workdir={self._directories.path(own, 'work')}")
            options.append(f"upperdir={self._upper(own)}")
        options.append(f"lowerdir={':'.join(map(self._upper, parents))}")
        return (Mount("overlay", "overlay", "", (*options, *self._options)),)

    def measured(self, number: int) -> str:
        return self._upper(number)

    def shown(self, record: Record) -> Info:
        if not self._shows_upper:
            return record.info
        return replace(record.info, labels={**record.info.labels, LABEL_UPPER: self._upper(record.id)})

    def _upper(self, number: int) -> str:
        return self._directories.path(number, "fs")

    def _mapping_options(self, labels: Mapping[str, str]) -> list[str]:
        if not self._remaps_ids:
            return []
        named = (("uidmap", labels.get(LABEL_UID_MAPPING)), ("gidmap", labels.get(LABEL_GID_MAPPING)))
        return [f"{option}={value}" for option, value in named if value]


class OverlayWords:
    """How the original's overlayfs begins its messages."""

    mounts = "failed to get active mount"

    def commit(self, key: str) -> str:
        return f"failed to commit snapshot {key}"


def overlayfs(
    root: Path,
    threads: Threads,
    *,
    options: Sequence[str] = (),
    capabilities: frozenset[str] = frozenset(),
    remaps_ids: bool = False,
    shows_upper: bool = False,
    removes_at_once: bool = False,
    spawner: Spawner | None = None,
) -> LocalSnapshotter:
    """The snapshotter below *root*; `overlay_support` finds out what the kernel can do."""
    trees = Trees(threads, spawner)
    directories = Directories(root, threads, trees)
    return LocalSnapshotter(
        OverlayLayout(directories, options, remaps_ids=remaps_ids, shows_upper=shows_upper),
        OverlayWords(),
        records=Records("overlayfs"),
        directories=directories,
        threads=threads,
        trees=trees,
        capabilities=capabilities,
        removes_at_once=removes_at_once,
    )
