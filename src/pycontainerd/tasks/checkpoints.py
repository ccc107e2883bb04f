"""Where a task that is created from a checkpoint finds it."""

from __future__ import annotations

from typing import Final

from google.protobuf import descriptor_pool

from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2
from pycontainerd.api.containerd.services.tasks import v1_pb2 as tasks_pb2
from pycontainerd.errors import Unimplemented, Unknown

RESTORE_FROM: Final = "RestoreFromPath"
"""Annotation of a checkpoint's descriptor: the directory that already has it."""

IMAGE_TYPE: Final = "application/vnd.containerd.container.criu.checkpoint.criu.tar"


def directory(request: tasks_pb2.CreateTaskRequest, options: runc_pb2.Options) -> str:
    """The directory of the checkpoint that *request* names; nothing if it names none.

    Raises Unknown for a descriptor of something else, Unimplemented for a checkpoint in the content store.
    """
    if options.criu_image_path or not request.HasField("checkpoint"):
        return options.criu_image_path
    checkpoint = request.checkpoint
    if checkpoint.annotations.get(RESTORE_FROM):
        return checkpoint.annotations[RESTORE_FROM]
    if checkpoint.media_type != IMAGE_TYPE:
        raise Unknown(f'unsupported checkpoint type "{checkpoint.media_type}"')
    raise Unimplemented(
        f"task {request.container_id}: a checkpoint can be restored from a directory only, not from content"
    )


def is_known_type(name: str) -> bool:
    """Whether a message of that full name is part of the contract."""
    try:
        descriptor_pool.Default().FindMessageTypeByName(name)
    except KeyError:
        return False
    return True
