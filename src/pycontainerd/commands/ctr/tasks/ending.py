"""Ending and removing a task."""

from __future__ import annotations

import signal

from pycontainerd.commands.ctr.container.fifos import remove_fifos
from pycontainerd.commands.ctr.tasks.status import CREATED, RUNNING, STOPPED, status_word
from pycontainerd.errors import FailedPrecondition, NotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pycontainerd.api.containerd.services.tasks.v1_pb2 import DeleteResponse
    from pycontainerd.client.client import Client


async def end_task(client: Client, container_id: str, *, force: bool = False) -> DeleteResponse:
    """Removes a task that has stopped, or with *force* kills it first.

    Raises NotFound; FailedPrecondition if it runs and is not to be killed.
    """
    if force:
        await _kill(client, container_id)
    task = await client.tasks.get(container_id)
    if task.status not in {STOPPED, CREATED}:
        raise FailedPrecondition(f"task must be stopped before deletion: {status_word(task.status).lower()}")
    ended = await client.tasks.delete(container_id)
    # Those of a client that detached; who stays with a task removes them itself.
    remove_fifos(task.stdin, task.stdout, task.stderr)
    return ended


async def _kill(client: Client, container_id: str) -> None:
    task = await client.tasks.get(container_id)
    if task.status == STOPPED:
        return
    try:
        await client.tasks.kill(container_id, signal.SIGKILL, everyone=True)
    except NotFound:
        return
    except FailedPrecondition:
        if task.status == RUNNING:
            raise
    await client.tasks.wait(container_id)
