"""Root file systems for containers in a user namespace of their own."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pycontainerd.client.snapshots import Snapshots
from pycontainerd.errors import AlreadyExists, Unknown
from pycontainerd.mounts import model
from pycontainerd.mounts.temporary import temporary
from pycontainerd.oci.spec import IDMapping
from pycontainerd.quoting import quote

if TYPE_CHECKING:
    from pycontainerd.client.client import Client

UID_LABEL = "containerd.io/snapshot/uidmapping"
GID_LABEL = "containerd.io/snapshot/gidmapping"
_SNAPSHOTTER = "io.containerd.snapshotter.v1"


def mapping_labels(uids: Iterable[str], gids: Iterable[str]) -> dict[str, str]:
    """The labels that ask a snapshotter to map the ids itself."""
    return {UID_LABEL: ",".join(uids), GID_LABEL: ",".join(gids)}


async def maps_by_itself(client: Client, snapshotter: str) -> bool:
    """Whether the snapshotter maps ids as labels ask; if not, its files have to be given away.

    Raises Unknown if it wants nobody to do that: files are copied for it.
    """
    found = await client.introspection.plugins(f"type=={_SNAPSHOTTER},id=={quote(snapshotter)}")
    capabilities = {capability for plugin in found for capability in plugin.capabilities}
    if "remap-ids" in capabilities:
        return True
    if "only-remap-ids" in capabilities:
        raise Unknown(
            f"snapshotter {quote(snapshotter)} doesn't support idmap mounts on this host,"
            " configure `slow_chown` to allow a slower and expensive fallback"
        )
    return False


async def remapped(snapshots: Snapshots, parent: str, uids: Sequence[IDMapping], gids: Sequence[IDMapping]) -> str:
    """A committed copy of *parent* whose files belong to the mapped ids, made if there is none. Returns its
    name.
    """
    mapping = ";".join(
        ",".join(f"{each.container_id}:{each.host_id}:{each.size}" for each in ids) for ids in (uids, gids)
    )
    name = f"{parent}-remap-{hashlib.sha256(mapping.encode()).hexdigest()[:16]}"
    if await snapshots.exists(name):
        return name
    key = f"remap-{os.urandom(8).hex()}"
    mounts = await snapshots.prepare(key, parent)
    try:
        ours = [model.Mount(each.type, each.source, each.target, tuple(each.options)) for each in mounts]
        with temporary(ours, os.environ.get("TMPDIR", "/tmp")) as root:  # noqa: S108 - made by mkdtemp
            _give_away(root, uids, gids)
        await snapshots.commit(name, key)
    except AlreadyExists:
        await snapshots.remove(key)
    except BaseException:
        await snapshots.remove(key)
        raise
    return name


def _give_away(root: str, uids: Sequence[IDMapping], gids: Sequence[IDMapping]) -> None:
    """Changes the owner of everything below *root*, the directory itself included; links aren't followed."""
    for path, directories, files, directory in os.fwalk(root, follow_symlinks=False):
        if path == root:
            _change_owner(".", directory, uids, gids)
        for name in (*directories, *files):
            _change_owner(name, directory, uids, gids)


def _change_owner(name: str, directory: int, uids: Sequence[IDMapping], gids: Sequence[IDMapping]) -> None:
    found = os.lstat(name, dir_fd=directory)
    uid, gid = _mapped(found.st_uid, uids), _mapped(found.st_gid, gids)
    os.chown(name, uid, gid, dir_fd=directory, follow_symlinks=False)
    if not stat.S_ISLNK(found.st_mode):
        # chown(2) takes set-uid and set-gid away.
        os.chmod(name, stat.S_IMODE(found.st_mode), dir_fd=directory)


def _mapped(number: int, mappings: Sequence[IDMapping]) -> int:
    for mapping in mappings:
        if mapping.container_id <= number < mapping.container_id + mapping.size:
            return number - mapping.container_id + mapping.host_id
    return number
