"""Making snapshots of an image's layers, where they are missing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.services.content.v1_pb2 import Info
from pycontainerd.client.image_content import Chosen
from pycontainerd.errors import AlreadyExists, Error, InvalidArgument
from pycontainerd.oci.image import Descriptor, chain_ids, is_layer

if TYPE_CHECKING:
    from pycontainerd.client.client import Client
    from pycontainerd.client.snapshots import Snapshots

UNCOMPRESSED_LABEL: Final = "containerd.io/uncompressed"
SNAPSHOT_LABEL: Final = "containerd.io/gc.ref.snapshot."
TARGET_LABEL: Final = "containerd.io/snapshot.ref"


async def unpack(client: Client, snapshots: Snapshots, chosen: Chosen, *, sync_fs: bool = False) -> None:
    """Makes the snapshots of all layers that are missing, and ties them to the image's config.

    Raises InvalidArgument if config and manifest disagree about the layers, or a layer about its content.
    """
    layers = [layer for layer in chosen.manifest.layers if is_layer(layer.media_type)]
    diff_ids = chosen.config.diff_ids
    if len(layers) != len(diff_ids):
        raise InvalidArgument(
            f"{chosen.descriptor.digest}: mismatched image rootfs and manifest layers:"
            f" {len(diff_ids)} and {len(layers)}"
        )
    chain = chain_ids(diff_ids)
    parent = ""
    for layer, diff_id, name in zip(layers, diff_ids, chain, strict=True):
        await _unpack_layer(client, snapshots, _Step(layer, diff_id, parent, name), sync_fs=sync_fs)
        parent = name
    if chain and chosen.manifest.config is not None:
        key = f"{SNAPSHOT_LABEL}{snapshots.snapshotter}"
        config = Info(digest=chosen.manifest.config.digest, labels={key: chain[-1]})
        await client.content.update(config, [f"labels.{key}"])


@dataclass(frozen=True, slots=True)
class _Step:
    """A layer, what its plain stream must hash to, the snapshot below, the snapshot to be."""

    layer: Descriptor
    diff_id: str
    parent: str
    name: str


async def _unpack_layer(client: Client, snapshots: Snapshots, step: _Step, *, sync_fs: bool) -> None:
    if await snapshots.exists(step.name):
        return
    layer = step.layer
    key = f"extract-{os.urandom(8).hex()} {step.name}"
    mounts = await snapshots.prepare(key, step.parent, {TARGET_LABEL: step.name})
    wire = types_pb2.Descriptor(media_type=layer.media_type, digest=layer.digest, size=layer.size)
    try:
        applied = await client.diff.apply(wire, mounts, sync_fs=sync_fs)
        if applied.digest != step.diff_id:
            raise InvalidArgument(
                f"wrong diff id {applied.digest} calculated on extraction of {layer.digest}, {step.diff_id} expected"
            )
        await snapshots.commit(step.name, key)
    except AlreadyExists:
        await snapshots.remove(key)
    except Error:
        await snapshots.remove(key)
        raise
    labelled = Info(digest=layer.digest, labels={UNCOMPRESSED_LABEL: step.diff_id})
    await client.content.update(labelled, [f"labels.{UNCOMPRESSED_LABEL}"])
