"""What a snapshot has changed, as a layer."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pycontainerd.api.containerd.types_pb2 import Descriptor, Mount
    from pycontainerd.client.client import Client
    from pycontainerd.client.snapshots import Snapshots

_COMMITTED: Final = 3


async def compared_with_parent(
    client: Client,
    snapshots: Snapshots,
    key: str,
    *,
    media_type: str = "",
    ref: str = "",
    labels: Mapping[str, str] | None = None,
    source_date_epoch_s: int | None = None,
) -> Descriptor:
    """Stores the layer that makes the parent of snapshot *key* to it; see `Diff.compare`. Raises NotFound."""
    parent = (await snapshots.stat(key)).parent
    async with (
        viewed(snapshots, parent, f"{parent}-parent-view-{_unique()}") as older,
        seen(snapshots, key, f"{key}-view-{_unique()}") as newer,
    ):
        return await client.diff.compare(
            older, newer, media_type=media_type, ref=ref, labels=labels, source_date_epoch_s=source_date_epoch_s
        )


@asynccontextmanager
async def seen(snapshots: Snapshots, key: str, view: str) -> AsyncIterator[list[Mount]]:
    """How to mount *key*; a committed one by the view *view*, which goes with the block."""
    if (await snapshots.stat(key)).kind != _COMMITTED:
        yield await snapshots.mounts(key)
        return
    async with viewed(snapshots, key, view) as mounts:
        yield mounts


@asynccontextmanager
async def viewed(snapshots: Snapshots, parent: str, view: str) -> AsyncIterator[list[Mount]]:
    """How to mount the view *view* of *parent*, which goes with the block."""
    mounts = await snapshots.view(view, parent)
    try:
        yield mounts
    finally:
        await snapshots.remove(view)


def _unique() -> str:
    return os.urandom(6).hex()
