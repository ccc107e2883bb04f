"""`ctr containers restore`."""

from __future__ import annotations

from pycontainerd.commands.ctr.flags import BOOL, Flag
from pycontainerd.errors import Unknown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.api.containerd.services.containers.v1_pb2 import Container
    from pycontainerd.api.containerd.types_pb2 import Descriptor, Mount
    from pycontainerd.client.checkpoints import Checkpoint
    from pycontainerd.client.client import Client
    from pycontainerd.commands.ctr.context import Context

FLAGS = (
    Flag("rw", BOOL, "Restore what the container had changed in its root file system"),
    Flag("live", BOOL, "Go on from the saved state of its task"),
)
USAGE = "[flags] CONTAINER REF"


async def run(ctx: Context) -> int:
    container_id = ctx.needed(0, "container id must be provided")
    ref = ctx.needed(1, "ref must be provided")

    from pycontainerd.client.checkpoints import Checkpoint
    from pycontainerd.commands.ctr.container.running import run_task
    from pycontainerd.oci import spec

    client = await ctx.client()
    checkpoint = await Checkpoint.read(client, ref)
    async with client.leased() as leased:
        container, mounts = await _restored(ctx, leased, container_id, checkpoint)
    files = _files(checkpoint, ref) if ctx.flag("live") else None
    process = spec.decode(container.spec.value, name=f"spec of {container_id}").process
    terminal = process is not None and process.terminal
    return await run_task(
        ctx, client, container, terminal_wanted=terminal, rootfs=mounts, detached=not terminal, checkpoint=files
    )


async def _restored(
    ctx: Context, client: Client, container_id: str, checkpoint: Checkpoint
) -> tuple[Container, list[Mount]]:
    """The record of the container, and the mounts of its root file system; both are new."""
    from pycontainerd.api.containerd.services.containers.v1_pb2 import Container
    from pycontainerd.client import checkpoints
    from pycontainerd.oci.image import ANNOTATION_REF_NAME, OCI_LAYER_GZIP

    image_name = checkpoint.annotation(ANNOTATION_REF_NAME, "image name")
    snapshotter = checkpoint.annotation(checkpoints.SNAPSHOTTER, "snapshotter")
    spec = await checkpoint.document(checkpoint.part(checkpoints.SPEC))
    container = Container(
        id=container_id, image=image_name, snapshotter=snapshotter, snapshot_key=container_id, spec=spec
    )
    container.runtime.name = checkpoint.annotation(checkpoints.RUNTIME, "runtime")
    if (options := checkpoint.find(checkpoints.RUNTIME_OPTIONS)) is not None:
        container.runtime.options.CopyFrom(await checkpoint.document(options))
    changes = checkpoint.part(OCI_LAYER_GZIP) if ctx.flag("rw") else None
    mounts = await client.snapshots(snapshotter).prepare(container_id, await _chain(client, image_name))
    if changes is not None:
        await client.diff.apply(checkpoints.wire_of(changes), mounts)
    return await client.containers.create(container), mounts


async def _chain(client: Client, image_name: str) -> str:
    """The snapshot of all layers of an image."""
    from pycontainerd.client.image_content import ImageContent, descriptor_of
    from pycontainerd.oci import platforms

    image = await client.images.get(image_name)
    chosen = await ImageContent(client.content).choose(
        descriptor_of(image.target), platforms.default(), name=image_name
    )
    return chosen.chain_id


def _files(checkpoint: Checkpoint, ref: str) -> Descriptor:
    from pycontainerd.client import checkpoints

    found = checkpoint.find(checkpoints.FILES)
    if found is None:
        raise Unknown(f"checkpoint not found in index {ref}")
    return checkpoints.wire_of(found)
