"""Mounts that nobody will take away: of a daemon that was killed, of a container whose shim is gone."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pycontainerd.checking.model import Finding, Tally, What
from pycontainerd.daemon.directories import TMPMOUNTS
from pycontainerd.errors import Error
from pycontainerd.mounts.mounting import unmount_all
from pycontainerd.runtime.bootstrap import parse_file
from pycontainerd.runtime.bundle import BOOTSTRAP
from pycontainerd.snapshots import trees
from pycontainerd.system.mount import MNT_DETACH
from pycontainerd.system.mountinfo import MountInfo, read_mountinfo

BUNDLES = "io.containerd.runtime.v2.task"


def check(root: Path, state: Path, tally: Tally) -> Iterator[Finding]:
    """The mounts below *root* and *state*, the last mounted first."""
    temporary, bundles = f"{os.path.realpath(root)}/{TMPMOUNTS}/", f"{os.path.realpath(state)}/{BUNDLES}/"
    for info in reversed(list(read_mountinfo())):
        if info.mount_point.startswith(temporary):
            tally.mounts += 1
            yield _orphan(info, "a daemon that was killed has left it")
        elif info.mount_point.startswith(bundles):
            tally.mounts += 1
            namespace, id_ = info.mount_point.removeprefix(bundles).split("/")[:2]
            if not _is_served(Path(bundles, namespace, id_)):
                yield _orphan(info, f"task {namespace} {id_} has no shim")


def _orphan(info: MountInfo, reason: str) -> Finding:
    options = dict(option.partition("=")[::2] for option in info.super_options.split(","))
    upper = options.get("upperdir", "")
    size = trees.usage(upper).size if upper and os.path.isdir(upper) else 0
    mend = partial(unmount_all, info.mount_point, MNT_DETACH)
    return Finding(What.ORPHANED_MOUNT, info.mount_point, f"{info.type}, {reason}", size, mend)


def _is_served(bundle: Path) -> bool:
    """Whether a shim answers where the bundle says that one does."""
    try:
        address = parse_file((bundle / BOOTSTRAP).read_bytes()).address
    except (OSError, Error):
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(address.removeprefix("unix://"))
        except OSError:
            return False
    return True
