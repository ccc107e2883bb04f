"""Turning the layers of an image into snapshots.

A layer becomes the snapshot that its chain id names: an active snapshot on the one below, the layer applied to it, the
digest of the plain layer compared with what the image's config promises, committed. What exists is not made again, and
two transfers don't make the same at once. At the end the config blob holds the last snapshot by a label.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from msgspec import Struct

from pycontainerd import faults
from pycontainerd.content.model import Digest
from pycontainerd.errors import AlreadyExists, Error, NotFound, Unknown
from pycontainerd.ids import Ids
from pycontainerd.mounts.model import Mount
from pycontainerd.oci import image, platforms
from pycontainerd.oci.image import Descriptor, ImageConfig, Platform
from pycontainerd.quoting import quote
from pycontainerd.snapshots.model import LABEL_PREFIX, LABEL_TARGET, REBASE
from pycontainerd.transfer import documents
from pycontainerd.transfer.context import Context
from pycontainerd.transfer.seams import Differ, Snapshots

faults.declare("transfer.unpack.applied", "transfer.unpack.committed")

LABEL_UNCOMPRESSED: Final = "containerd.io/uncompressed"
LABEL_SNAPSHOT: Final = "containerd.io/gc.ref.snapshot."
LABEL_DIFF_ID: Final = "containerd.io/snapshot/diff-id"
LABEL_PARENT_CHAIN: Final = "containerd.io/snapshot/parent-chain-id"

_ATTEMPTS: Final = 3


class UnpackPlatform(Struct, frozen=True):
    """How images of *platform* are unpacked. With *strict* all of the platform counts, else its system alone.

    Up to *together* layers of an image are applied at once, where the snapshotter can give a snapshot its parent later.
    """

    platform: Platform
    snapshotter: str
    snapshots: Snapshots
    differ: Differ
    strict: bool = False
    together: int = 1
    config_type: str = ""
    layer_types: tuple[str, ...] = ()
    """What counts as a config and as a layer, if not what images usually have."""

    def is_config(self, media_type: str) -> bool:
        return media_type == self.config_type if self.config_type else image.is_config(media_type)

    def is_layer(self, media_type: str) -> bool:
        return media_type in self.layer_types if self.layer_types else image.is_layer(media_type)

    def takes(self, offered: Platform) -> bool:
        offered = platforms.normalize(offered)
        if self.strict:
            return platforms.only(self.platform)(offered)
        return offered.os == self.platform.os and set(offered.os_features) <= set(self.platform.os_features)


class KeyedLocks:
    """One lock a key, for as long as somebody wants it."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: dict[str, int] = {}

    @asynccontextmanager
    async def held(self, key: str) -> AsyncIterator[None]:
        lock = self._locks.setdefault(key, asyncio.Lock())
        self._users[key] = self._users.get(key, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key], self._locks[key]


class _Layer(Struct, frozen=True):
    """One layer: its blob, what its plain stream hashes to, the snapshot it becomes, and the one below."""

    blob: Descriptor
    diff_id: str
    chain_id: str
    parent: str

    def check(self, applied: Descriptor) -> None:
        """Raises Unknown if what was applied is not what the image promises."""
        if applied.digest != self.diff_id:
            raise Unknown(
                f"wrong diff id {quote(applied.digest)} calculated on extraction {quote(self.diff_id)},"
                f" desc {quote(self.blob.digest)}"
            )

    def labels(self) -> dict[str, str]:
        labels = {key: value for key, value in self.blob.annotations.items() if key.startswith(LABEL_PREFIX)}
        labels[LABEL_TARGET] = self.chain_id
        labels[LABEL_DIFF_ID] = self.diff_id
        if self.parent:
            labels[LABEL_PARENT_CHAIN] = self.parent
        return labels


class Unpacker:
    """Unpacks the images of one transfer."""

    def __init__(self, context: Context, choices: Sequence[UnpackPlatform], ids: Ids, locks: KeyedLocks) -> None:
        self._context = context
        self._choices = choices
        self._ids = ids
        self._locks = locks

    async def unpack(self, manifest: Descriptor, children: Sequence[Descriptor]) -> None:
        """Unpacks the image of *manifest* on the first choice that takes its platform; fine if none does.

        Raises Unknown if config and layers don't fit, NotFound for a blob that is missing.
        """
        found = await self._choose(children)
        if found is None:
            return
        choice, config, said = found
        blobs = [child for child in children if choice.is_layer(child.media_type)]
        if len(blobs) != len(said.diff_ids):
            raise Unknown(f"number of layers and diffIDs don't match: {len(blobs)} != {len(said.diff_ids)}")
        chain = image.chain_ids(said.diff_ids)
        layers = [_Layer(*parts) for parts in zip(blobs, said.diff_ids, chain, ("", *chain), strict=False)]
        if choice.together > 1 and len(layers) > 1 and REBASE in choice.snapshots.capabilities:
            await self._ensure_together(choice, layers)
        else:
            for layer in layers:
                await self._ensure(choice, layer)
        if chain:
            await self._label(config, {f"{LABEL_SNAPSHOT}{choice.snapshotter}": chain[-1]})

    async def _choose(self, children: Sequence[Descriptor]) -> tuple[UnpackPlatform, Descriptor, ImageConfig] | None:
        """The first choice that takes the image, its config, and what that says."""
        for choice in self._choices:
            config = next((child for child in children if choice.is_config(child.media_type)), None)
            if config is None:
                continue
            said = await self._read_config(config)
            if said.rootfs is not None and said.rootfs.type not in {"", "layers"}:
                continue
            if choice.takes(said.platform):
                return choice, config, said
        return None

    async def _read_config(self, config: Descriptor) -> ImageConfig:
        digest = Digest.parse(config.digest)
        data = await self._context.content.read_all(self._context.namespace, digest, limit=documents.LIMIT)
        said: ImageConfig = documents.decode(ImageConfig, data, "unmarshal image config")
        return said

    async def _ensure_together(self, choice: UnpackPlatform, layers: Sequence[_Layer]) -> None:
        """Makes the snapshots of the layers from the first one that is missing; they are committed in order."""
        missing = 0
        while missing < len(layers) and await self._exists(choice, layers[missing].chain_id):
            missing += 1
        places = asyncio.Semaphore(choice.together)
        try:
            async with asyncio.TaskGroup() as group:
                below: asyncio.Task[None] | None = None
                for layer in layers[missing:]:
                    turn = _Turn(places, below)
                    below = group.create_task(self._ensure(choice, layer, turn), name=f"unpack {layer.blob.digest}")
        except BaseExceptionGroup as errors:
            # The first that failed ended the others.
            raise errors.exceptions[0] from None

    async def _ensure(self, choice: UnpackPlatform, layer: _Layer, turn: _Turn | None = None) -> None:
        """Makes the layer's snapshot unless it is there. With a *turn* others are made at the same time."""
        parent = "" if turn is not None else layer.parent
        async with self._locks.held(f"sn://{choice.snapshotter}/{layer.chain_id}"):
            for _ in range(_ATTEMPTS):
                key = f"extract-{self._ids.unique()} {layer.chain_id}"
                try:
                    mounts = await choice.snapshots.prepare(
                        self._context.namespace, key, parent, layer.labels(), lease=self._context.lease
                    )
                except AlreadyExists:
                    if await self._exists(choice, layer.chain_id):
                        return
                    continue
                except BaseException:
                    # Who is cancelled just then doesn't hear that it is there.
                    await self._drop(choice, key)
                    raise
                await self._extract(choice, layer, key, mounts, turn)
                return
            raise Unknown(f"failed to prepare an extraction snapshot for {layer.chain_id}: it exists, but not for us")

    async def _exists(self, choice: UnpackPlatform, chain_id: str) -> bool:
        try:
            await choice.snapshots.stat(self._context.namespace, chain_id)
        except NotFound:
            return False
        return True

    async def _extract(
        self, choice: UnpackPlatform, layer: _Layer, key: str, mounts: Sequence[Mount], turn: _Turn | None
    ) -> None:
        """Applies and commits the layer; whatever fails, the extraction snapshot goes."""
        namespace, lease = self._context.namespace, self._context.lease
        try:
            if turn is None:
                applied = await self._apply(choice, layer, key, mounts)
            else:
                async with turn.places:
                    applied = await self._apply(choice, layer, key, _as_upper(mounts))
            faults.reach("transfer.unpack.applied")
            layer.check(applied)
            if turn is not None and turn.below is not None:
                await asyncio.shield(turn.below)
            await choice.snapshots.commit(
                namespace, layer.chain_id, key, layer.labels(), parent=layer.parent if turn else "", lease=lease
            )
            faults.reach("transfer.unpack.committed")
        except BaseException as error:
            await self._drop(choice, key)
            if not isinstance(error, AlreadyExists):
                raise
        await self._label(layer.blob, {LABEL_UNCOMPRESSED: layer.diff_id})

    async def _drop(self, choice: UnpackPlatform, key: str) -> None:
        with suppress(NotFound):
            await choice.snapshots.remove(self._context.namespace, key, lease=self._context.lease)

    async def _apply(self, choice: UnpackPlatform, layer: _Layer, key: str, mounts: Sequence[Mount]) -> Descriptor:
        try:
            return await choice.differ.apply_content(self._context.namespace, layer.blob, mounts)
        except Error as error:
            blob = layer.blob
            raise error.within(
                f"failed to extract layer ({blob.media_type} {blob.digest}) to {choice.snapshotter} as {quote(key)}"
            ) from error

    async def _label(self, blob: Descriptor, labels: Mapping[str, str]) -> None:
        paths = [f"labels.{name}" for name in labels]
        await self._context.content.update(self._context.namespace, Digest.parse(blob.digest), labels, paths)


class _Turn(Struct, frozen=True):
    """A layer's turn among those that are unpacked together: the places for them, and the one that comes before."""

    places: asyncio.Semaphore
    below: asyncio.Task[None] | None


def _as_upper(mounts: Sequence[Mount]) -> Sequence[Mount]:
    """A directory that will lie over others, as an overlay's upper one, so that whiteouts become overlay's own."""
    if len(mounts) == 1 and mounts[0].type == "bind":
        return (Mount("overlay", "overlay", "", (f"upperdir={mounts[0].source}",)),)
    return mounts
