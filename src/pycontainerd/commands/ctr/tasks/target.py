"""The container and task that a command names, found as the original finds them, with its words for what is
missing.
"""

from __future__ import annotations

from pycontainerd.errors import NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.api.containerd.services.containers.v1_pb2 import Container
    from pycontainerd.api.containerd.v1.types_pb2 import Process
    from pycontainerd.client.client import Client


async def container_and_task(client: Client, container_id: str) -> tuple[Container, Process]:
    """Raises NotFound, its text telling which of the two is missing."""
    container = await client.containers.get(container_id)
    try:
        return container, await client.tasks.get(container_id)
    except NotFound as error:
        raise error.within("no running task found") from error
