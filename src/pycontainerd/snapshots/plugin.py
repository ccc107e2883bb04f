"""The plugins of the snapshots: the snapshotters, what they are to a namespace, and the service."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from pycontainerd.errors import Error
from pycontainerd.oci import platforms
from pycontainerd.plugin import sections, types
from pycontainerd.plugin.registration import Init, SkipPlugin, plugin
from pycontainerd.snapshots import overlay_support
from pycontainerd.snapshots.local import LocalSnapshotter
from pycontainerd.snapshots.native import native
from pycontainerd.snapshots.overlayfs import overlayfs
from pycontainerd.snapshots.service import SnapshotsService
from pycontainerd.snapshots.store import SnapshotStore
from pycontainerd.threads import Threads

_THREADS: Final = 4


@plugin(types.SNAPSHOTTER, "overlayfs", config=sections.Overlayfs)
async def overlayfs_snapshotter(init: Init) -> LocalSnapshotter:
    config: sections.Overlayfs = init.config
    root, threads = _begin(init, config.root_path)
    try:
        overlay_support.check(root)
    except (OSError, Error) as error:
        raise SkipPlugin(str(error)) from error
    remaps_ids = overlay_support.maps_ids(root)
    capabilities = overlay_support.capabilities(remaps_ids=remaps_ids, slow_chown=config.slow_chown)
    init.capabilities.extend(capabilities)
    return overlayfs(
        root,
        threads,
        options=overlay_support.all_options(root, config.mount_options),
        capabilities=frozenset(capabilities),
        remaps_ids=remaps_ids,
        shows_upper=config.upperdir_label,
        removes_at_once=config.sync_remove,
        spawner=init.spawner,
    )


@plugin(types.SNAPSHOTTER, "native", config=sections.RootPath)
async def native_snapshotter(init: Init) -> LocalSnapshotter:
    config: sections.RootPath = init.config
    root, threads = _begin(init, config.root_path)
    return native(root, threads, spawner=init.spawner)


@plugin(types.SERVICE, "snapshots-service", requires=[types.METADATA])
async def snapshots_service(init: Init) -> Mapping[str, SnapshotStore]:
    stores: Mapping[str, SnapshotStore] = init.plugins.single(types.METADATA).snapshotters
    return stores


@plugin(types.GRPC, "snapshots", requires=[types.SERVICE])
async def service(init: Init) -> SnapshotsService:
    return SnapshotsService(init.plugins.by_id(types.SERVICE, "snapshots-service"))


def _begin(init: Init, configured: str) -> tuple[Path, Threads]:
    """Where a snapshotter keeps its directories, and its threads."""
    root = Path(configured) if configured else init.root
    init.platforms.append(platforms.format_platform(platforms.host()))
    init.exports["root"] = str(root)
    with suppress(FileExistsError):
        root.mkdir(mode=0o700, parents=True)
    return root, init.stack.enter_context(Threads(f"snapshots-{root.name[-10:]}", most=_THREADS))
