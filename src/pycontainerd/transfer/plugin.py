"""The plugins of the transfers: what this daemon can transfer, and the service that does it."""

from __future__ import annotations

import logging
from typing import Final

from pycontainerd.errors import Error, InvalidArgument, NotFound
from pycontainerd.log import fields
from pycontainerd.metadata.metadata import Metadata
from pycontainerd.oci import platforms
from pycontainerd.plugin import sections, types
from pycontainerd.plugin.registration import Init, plugin
from pycontainerd.threads import Threads
from pycontainerd.transfer.operations import Operations
from pycontainerd.transfer.service import TransferService
from pycontainerd.transfer.unpacking import UnpackPlatform

_log: Final = logging.getLogger(__name__)

_THREADS: Final = 4
_SNAPSHOTTER: Final = "overlayfs"
_DIFFER: Final = "walking"


@plugin(
    types.TRANSFER,
    "local",
    requires=[types.LEASE, types.METADATA, types.DIFFER, types.IMAGE_VERIFIER, types.SNAPSHOTTER],
    config=sections.Transfer,
)
async def local(init: Init) -> Operations:
    config: sections.Transfer = init.config
    metadata: Metadata = init.plugins.single(types.METADATA)
    entries = config.unpack_config or (sections.Unpack(),)
    choices = [choice for entry in entries if (choice := _choice(init, metadata, config, entry)) is not None]
    threads = init.stack.enter_context(Threads("transfer", most=_THREADS))
    return Operations(
        metadata.content,
        metadata.images,
        init.plugins.single(types.LEASE),
        unpack_platforms=choices,
        spawner=init.spawner,
        threads=threads,
        clock=init.clock,
        ids=init.ids,
    )


@plugin(types.GRPC, "transfer", requires=[types.TRANSFER, types.STREAMING])
async def service(init: Init) -> TransferService:
    return TransferService(init.plugins.single(types.TRANSFER), init.plugins.single(types.STREAMING))


def _choice(init: Init, metadata: Metadata, config: sections.Transfer, entry: sections.Unpack) -> UnpackPlatform | None:
    """How one entry of `unpack_config` unpacks; None if it is optional and something of it is missing."""
    platform = platforms.parse(entry.platform) if entry.platform else platforms.host()
    snapshotter = entry.snapshotter or _SNAPSHOTTER
    differs = init.plugins.all(types.DIFFER)
    differ = entry.differ or (_DIFFER if _DIFFER in differs else next(iter(differs), ""))
    missing: Error | None = None
    if snapshotter not in metadata.snapshotters:
        missing = NotFound(f"snapshotter not found: {snapshotter}")
    elif differ not in differs:
        missing = InvalidArgument(f'differ "{differ}" is not configured')
    if missing is None:
        return UnpackPlatform(
            platform,
            snapshotter,
            metadata.snapshotters[snapshotter],
            differs[differ],
            strict=config.check_platform_supported,
            together=config.max_concurrent_unpacks,
            config_type=entry.config_type,
            layer_types=entry.layer_types,
        )
    if not entry.optional:
        raise missing
    _log.debug("unpack platform is left out", extra=fields(platform=entry.platform, error=missing))
    return None
