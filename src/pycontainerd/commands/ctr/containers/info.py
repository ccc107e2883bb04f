"""`ctr containers info`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycontainerd.commands.ctr import documents
from pycontainerd.commands.ctr.documents import any_value, time_value
from pycontainerd.commands.ctr.flags import BOOL, Flag
from pycontainerd.errors import InvalidArgument

if TYPE_CHECKING:
    from pycontainerd.api.containerd.services.containers.v1_pb2 import Container
    from pycontainerd.commands.ctr.context import Context

FLAGS = (Flag("spec", BOOL, "Print the runtime spec only"),)
USAGE = "CONTAINER"


async def run(ctx: Context) -> None:
    container_id = ctx.argument(0)
    if not container_id:
        raise InvalidArgument("container id must be provided")
    client = await ctx.client()
    container = await client.containers.get(container_id)
    documents.show(spec_value(container) if ctx.flag("spec") else container_value(container))


def container_value(container: Container) -> dict[str, Any]:
    """The record of a container, its spec decoded."""
    options = any_value(container.runtime.options) if container.runtime.HasField("options") else None
    return {
        "ID": container.id,
        "Labels": dict(sorted(container.labels.items())) or None,
        "Image": container.image,
        "Runtime": {"Name": container.runtime.name, "Options": options},
        "SnapshotKey": container.snapshot_key,
        "Snapshotter": container.snapshotter,
        "CreatedAt": time_value(container.created_at),
        "UpdatedAt": time_value(container.updated_at),
        "Extensions": {key: any_value(container.extensions[key]) for key in sorted(container.extensions)},
        "SandboxID": container.sandbox,
        "Spec": spec_value(container),
    }


def spec_value(container: Container) -> Any:
    """The spec of a container in the order of the specification; as it is, if it is no spec."""
    import json

    from pycontainerd.oci import spec

    if not container.HasField("spec"):
        return None
    if container.spec.type_url != spec.SPEC_TYPE_URL:
        return any_value(container.spec)
    return json.loads(spec.encode(spec.decode(container.spec.value, name=f"spec of {container.id}")))
