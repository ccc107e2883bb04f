"""What requests say of checkpoints: where a task that is created from one finds it, and where one is to go."""

from __future__ import annotations

from typing import Final

from google.protobuf import descriptor_pool
from google.protobuf.message import DecodeError

from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2
from pycontainerd.api.containerd.services.tasks import v1_pb2 as tasks_pb2
from pycontainerd.errors import Unknown
from pycontainerd.oci.image import Descriptor
from pycontainerd.tasks.checkpointing import IMAGE_TYPE

RESTORE_FROM: Final = "RestoreFromPath"
"""Annotation of a checkpoint's descriptor: the directory that already has it."""

_OPTIONS: Final = runc_pb2.CheckpointOptions.DESCRIPTOR.full_name


def source(request: tasks_pb2.CreateTaskRequest, options: runc_pb2.Options) -> str | Descriptor | None:
    """The directory of the checkpoint that *request* names, or the blob that it is in; None if it names none.

    Raises Unknown for a descriptor of something else.
    """
    if not request.HasField("checkpoint"):
        return options.criu_image_path or None
    checkpoint = request.checkpoint
    directory = checkpoint.annotations.get(RESTORE_FROM, options.criu_image_path)
    if directory:
        return directory
    if checkpoint.media_type != IMAGE_TYPE:
        raise Unknown(f'unsupported checkpoint type "{checkpoint.media_type}"')
    return Descriptor(checkpoint.media_type, checkpoint.digest, checkpoint.size)


def restores_at_once(request: tasks_pb2.CreateTaskRequest) -> bool:
    """Whether the task is to run when it is created: that goes with a checkpoint in a directory of the descriptor's."""
    return RESTORE_FROM in request.checkpoint.annotations


def image_path(request: tasks_pb2.CheckpointTaskRequest, runtime: str) -> str:
    """The directory that the options of *request* name; nothing: it goes into content. Raises Unknown for others."""
    if not request.HasField("options"):
        return ""
    name = request.options.type_url.rpartition("/")[2]
    if name != _OPTIONS:
        if not is_known_type(name):
            raise Unknown(f"type with url {request.options.type_url}: not found")
        raise Unknown(f"invalid task checkpoint option for {runtime}")
    try:
        return runc_pb2.CheckpointOptions.FromString(request.options.value).image_path
    except DecodeError as error:
        raise Unknown("proto: cannot parse invalid wire-format data") from error


def is_known_type(name: str) -> bool:
    """Whether a message of that full name is part of the contract."""
    try:
        descriptor_pool.Default().FindMessageTypeByName(name)
    except KeyError:
        return False
    return True
