"""The plugins of the differs: the one that walks trees, the order in which they are asked, and the service."""

from __future__ import annotations

from pycontainerd.diff.comparing import Comparer
from pycontainerd.diff.differ import Differ
from pycontainerd.diff.service import DiffService
from pycontainerd.diff.store import Differs
from pycontainerd.diff.walking import Walking
from pycontainerd.errors import NotFound
from pycontainerd.oci import platforms
from pycontainerd.plugin import sections, types
from pycontainerd.plugin.registration import Init, plugin


@plugin(types.DIFFER, "walking", requires=[types.METADATA, types.MOUNT_MANAGER])
async def walking(init: Init) -> Walking:
    init.platforms.append(platforms.format_platform(platforms.host()))
    content = init.plugins.single(types.METADATA).content
    return Walking(
        Differ(init.spawner, content, init.stream_processors),
        Comparer(init.spawner, content, init.clock),
        init.plugins.single(types.MOUNT_MANAGER),
    )


@plugin(types.SERVICE, "diff-service", requires=[types.DIFFER], config=sections.DiffService)
async def diff_service(init: Init) -> Differs:
    config: sections.DiffService = init.config
    loaded = init.plugins.all(types.DIFFER)
    missing = [name for name in config.default if name not in loaded]
    if missing:
        raise NotFound(f"needed differ {missing[0]!r} not loaded", bare=True)
    return Differs([loaded[name] for name in config.default], always_sync=config.sync_fs)


@plugin(types.GRPC, "diff", requires=[types.SERVICE])
async def diff(init: Init) -> DiffService:
    return DiffService(init.plugins.by_id(types.SERVICE, "diff-service"))
