"""A container's snapshot and record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from google.protobuf.any_pb2 import Any

from pycontainerd.api.containerd.runc.v1_pb2 import Options as RuncOptions
from pycontainerd.api.containerd.services.containers.v1_pb2 import Container
from pycontainerd.client.image_content import Chosen, ImageContent, descriptor_of
from pycontainerd.client.streams import pack
from pycontainerd.commands.ctr import logs
from pycontainerd.commands.ctr.container import spec_steps
from pycontainerd.commands.ctr.container.flags import RUNC
from pycontainerd.commands.ctr.values import parse_labels
from pycontainerd.errors import AlreadyExists, Error, InvalidArgument, Unimplemented, Unknown
from pycontainerd.oci import platforms, spec
from pycontainerd.oci.image import ContainerConfig

if TYPE_CHECKING:
    from pycontainerd.api.containerd.services.images.v1_pb2 import Image
    from pycontainerd.api.containerd.types_pb2 import Mount
    from pycontainerd.client.client import Client
    from pycontainerd.client.snapshots import Snapshots
    from pycontainerd.commands.ctr.context import Context
    from pycontainerd.oci.spec import Spec

STOP_SIGNAL_LABEL = "io.containerd.image.config.stop-signal"
_RESERVED_PREFIXES = ("containerd.io/", "io.cri-containerd")
"""Labels of images that would mean something on a container."""


async def create_container(ctx: Context, client: Client, container_id: str) -> tuple[Container, list[Mount]]:
    """Makes the container that flags and arguments of the command describe, under a lease of its own.

    Returns its record, and the mounts of its root file system.

    Raises NotFound if its image is missing, AlreadyExists if its snapshot or record exists.
    """
    if ctx.has("cni") and ctx.flag("cni"):
        raise Unimplemented("--cni", hint="network set-up is not part of this ctr yet")
    container = Container(id=container_id, sandbox=ctx.text("sandbox"))
    container.runtime.name = ctx.text("runtime")
    mounts: list[Mount] = []
    async with client.leased() as held, _undone(held, container):
        if ctx.text("config"):
            labels = parse_labels(ctx.texts("label"))
            built = spec_steps.load_config(ctx.text("config"), labels)
            container.labels.update(labels)
        elif ctx.flag("rootfs"):
            built = _build_for_directory(ctx, container)
        else:
            built, mounts = await _build_for_image(ctx, held, container)
        options = runtime_options(ctx)
        if options is not None:
            container.runtime.options.CopyFrom(options)
        container.spec.CopyFrom(Any(type_url=spec.SPEC_TYPE_URL, value=spec.encode(built)))
        return await held.containers.create(container), mounts


@asynccontextmanager
async def _undone(client: Client, container: Container) -> AsyncIterator[None]:
    """Removes the container's snapshot if the block fails after making it: the same command works again at
    once.
    """
    try:
        yield
    except BaseException as error:
        # Then it belongs to a container that was there before.
        if container.snapshot_key and not isinstance(error, AlreadyExists):
            with suppress(Error):
                await client.snapshots(container.snapshotter).remove(container.snapshot_key)
        raise


def _build_for_directory(ctx: Context, container: Container) -> Spec:
    labels = parse_labels(ctx.texts("label"))
    container.labels.update(labels)
    root = spec_steps.directory(ctx.argument(0))
    return spec_steps.build_spec(ctx, container.id, ctx.arguments[2:], image=None, rootfs=root, labels=labels)


async def _build_for_image(ctx: Context, client: Client, container: Container) -> tuple[Spec, list[Mount]]:
    image = await client.images.get(ctx.argument(0))
    wanted = ctx.text("platform") if ctx.has("platform") else ""
    matcher = platforms.only(platforms.parse(wanted)) if wanted else platforms.default()
    content = ImageContent(client.content)
    chosen = await content.choose(descriptor_of(image.target), matcher, name=image.name)
    container.snapshotter = await ctx.snapshotter(client)
    snapshots = client.snapshots(container.snapshotter)
    if chosen.chain_id and not await snapshots.exists(chosen.chain_id):
        from pycontainerd.client.unpacking import unpack

        await unpack(client, snapshots, chosen, sync_fs=ctx.has("sync-fs") and ctx.flag("sync-fs"))
    given = parse_labels(ctx.texts("label"))
    config = chosen.config.config or ContainerConfig()
    container.labels.update(image_labels(config, image) | given)
    container.labels[STOP_SIGNAL_LABEL] = config.stop_signal or "SIGTERM"
    container.image = image.name
    mounts = await _prepare(ctx, client, snapshots, container.id, chosen)
    container.snapshot_key = container.id
    root = spec_steps.mounted(mounts)
    built = spec_steps.build_spec(ctx, container.id, ctx.arguments[2:], image=config, rootfs=root, labels=given)
    return built, mounts


def image_labels(config: ContainerConfig, image: Image) -> dict[str, str]:
    """The labels that a container inherits: of the config, then of the image's record."""
    own = {}
    for key, value in sorted((config.labels or {}).items()):
        if key.startswith(_RESERVED_PREFIXES):
            logs.warning(
                f"skipping image label {logs.go_quote(key)}: the label namespace is reserved for containerd;"
                " possible malicious image attempting to alter containerd behavior"
            )
        else:
            own[key] = value
    return own | dict(image.labels)


async def _prepare(ctx: Context, client: Client, snapshots: Snapshots, key: str, chosen: Chosen) -> list[Mount]:
    labels = parse_labels(ctx.texts("snapshotter-label"))
    parent = chosen.chain_id
    if ctx.has("uidmap") and ctx.texts("uidmap") and ctx.texts("gidmap"):
        from pycontainerd.commands.ctr.container.remapping import mapping_labels, maps_by_itself, remapped

        by_itself = ctx.flag("remap-labels") and await maps_by_itself(client, snapshots.snapshotter)
        if ctx.flag("remap-labels"):
            labels |= mapping_labels(ctx.texts("uidmap"), ctx.texts("gidmap"))
        if not by_itself:
            uids, gids = (spec_steps.parse_id_mappings(ctx.texts(name)) for name in ("uidmap", "gidmap"))
            parent = await remapped(snapshots, parent, uids, gids)
    return await snapshots.prepare(key, parent, labels)


def runtime_options(ctx: Context) -> Any | None:
    """The options of the runtime that flags name. Raises InvalidArgument if they don't fit it."""
    runc_only = ctx.text("runc-binary") or ctx.flag("runc-systemd-cgroup")
    if ctx.text("runtime") == RUNC:
        return pack(_runc_options(ctx))
    if runc_only:
        raise InvalidArgument(
            f'specifying runc-binary and runc-systemd-cgroup is only supported for "{RUNC}" runtime', bare=True
        )
    if ctx.text("runtime-config-path"):
        from pycontainerd.api.runtimeoptions.v1_pb2 import Options

        return pack(Options(config_path=ctx.text("runtime-config-path")))
    return None


def _runc_options(ctx: Context) -> RuncOptions:
    options = RuncOptions(binary_name=ctx.text("runc-binary"), root=ctx.text("runc-root"))
    if ctx.flag("runc-systemd-cgroup"):
        if not ctx.has("cgroup") or not ctx.text("cgroup"):
            raise Unknown('option --runc-systemd-cgroup requires --cgroup to be set, e.g. "machine.slice:foo:deadbeef"')
        options.systemd_cgroup = True
    return options
