"""The plugins of the activations: handlers, the manager of them, and the service."""

from __future__ import annotations

import os

from pycontainerd.activations import codec
from pycontainerd.activations.handlers import Erofs, Handler, is_known
from pycontainerd.activations.making import Maker
from pycontainerd.activations.service import MountsService
from pycontainerd.activations.store import Activations
from pycontainerd.metadata.metadata import Metadata
from pycontainerd.oci import platforms
from pycontainerd.plugin import sections, types
from pycontainerd.plugin.registration import Init, SkipPlugin, plugin
from pycontainerd.threads import Threads

_MODE = 0o700
_AT_ONCE = 4


@plugin(types.MOUNT_HANDLER, "erofs", config=sections.Empty)
async def erofs(init: Init) -> Erofs:
    init.platforms.append(platforms.format_platform(platforms.host()))
    if not is_known("erofs"):
        raise SkipPlugin("EROFS unsupported, please `modprobe erofs`")
    return Erofs()


@plugin(types.MOUNT_MANAGER, "bolt", requires=[types.METADATA, types.MOUNT_HANDLER])
async def bolt(init: Init) -> Activations:
    """The name is the original's, as config.toml and clients know it."""
    metadata: Metadata = init.plugins.single(types.METADATA)
    handlers: dict[str, Handler] = init.plugins.all(types.MOUNT_HANDLER)
    targets = str(init.state / "t")
    os.makedirs(init.state, mode=_MODE, exist_ok=True)
    os.makedirs(targets, mode=_MODE, exist_ok=True)
    maker = Maker(targets, [str(init.root.parent)], handlers, init.clock.now_ns)
    threads = init.stack.enter_context(Threads("mounts", most=_AT_ONCE))
    activations = Activations(
        metadata.database, metadata.leases, maker=maker, codec=codec, threads=threads, ids=init.ids
    )
    await activations.begin()
    metadata.collector.register(activations)  # in every run, as some may have been busy in the last one
    return activations


@plugin(types.GRPC, "mounts", requires=[types.MOUNT_MANAGER])
async def mounts(init: Init) -> MountsService:
    return MountsService(init.plugins.single(types.MOUNT_MANAGER))
