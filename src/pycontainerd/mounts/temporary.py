"""Mounts for the length of a block, and the clean-up of those that a crash has left."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from pycontainerd.mounts import mounting
from pycontainerd.mounts.model import Mount, without_volatile
from pycontainerd.system import mount as kernel
from pycontainerd.system.mountinfo import mounts_below

PREFIX: Final = "containerd-mount"


@contextmanager
def temporary(mounts: Sequence[Mount], parent_dir: str) -> Iterator[str]:
    """Mounts in a new directory of *parent_dir*; the block gets its path. Nothing is left of it afterwards.

    Raises OSError; an unmount that stays busy leaves mount and directory, which `remove_stale` finds later.
    """
    target = tempfile.mkdtemp(prefix=PREFIX, dir=parent_dir)
    made = without_volatile(mounts)
    try:
        if made:
            mounting.mount_all(made, target)
        try:
            yield target
        finally:
            mounting.unmount_mounts(made, target)
    finally:
        if not mounts_below(target):
            os.rmdir(target)


def remove_stale(parent_dir: str) -> None:
    """Unmounts and removes what daemons before this one have left in *parent_dir*."""
    with os.scandir(parent_dir) as entries:
        stale = [entry.path for entry in entries if entry.name.startswith(PREFIX)]
    for path in stale:
        mounting.unmount_recursive(path, kernel.MNT_DETACH)
        os.rmdir(path)
