"""Flags that several commands have."""

from __future__ import annotations

from pycontainerd.commands.ctr.flags import BOOL, Flag

SNAPSHOTTER = Flag(
    "snapshotter", usage="Snapshotter to use; empty means the namespace's default", env="CONTAINERD_SNAPSHOTTER"
)
QUIET = Flag("quiet,q", BOOL, "Print names only")
