"""Where a task that is created from a checkpoint finds it, and where one is to go."""

from __future__ import annotations

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2
from pycontainerd.api.containerd.services.tasks import v1_pb2 as tasks_pb2
from pycontainerd.errors import Unknown
from pycontainerd.oci.image import Descriptor
from pycontainerd.tasks.checkpointing import IMAGE_TYPE
from pycontainerd.tasks.checkpoints import RESTORE_FROM, image_path, is_known_type, source


def request(**descriptor: object) -> tasks_pb2.CreateTaskRequest:
    checkpoint = types_pb2.Descriptor(**descriptor) if descriptor else None  # type: ignore[arg-type]
    return tasks_pb2.CreateTaskRequest(container_id="c", checkpoint=checkpoint)


def test_a_task_without_a_checkpoint_has_none() -> None:
    assert source(request(), runc_pb2.Options()) is None


def test_the_options_name_a_directory() -> None:
    options = runc_pb2.Options(criu_image_path="/images")
    assert source(request(), options) == "/images"
    assert source(request(media_type="what/ever"), options) == "/images"


def test_the_descriptor_may_name_a_directory() -> None:
    named = request(media_type=IMAGE_TYPE, annotations={RESTORE_FROM: "/there"})
    assert source(named, runc_pb2.Options(criu_image_path="/images")) == "/there"


def test_the_descriptor_may_name_a_blob() -> None:
    named = request(media_type=IMAGE_TYPE, digest="sha256:1", size=7)
    assert source(named, runc_pb2.Options()) == Descriptor(IMAGE_TYPE, "sha256:1", 7)


def test_a_descriptor_of_something_else_is_refused() -> None:
    with pytest.raises(Unknown, match='unsupported checkpoint type "text/plain"'):
        source(request(media_type="text/plain"), runc_pb2.Options())


def options(message: Message) -> Any:
    return Any(type_url=message.DESCRIPTOR.full_name, value=message.SerializeToString())


def test_a_checkpoint_goes_where_its_options_say() -> None:
    named = tasks_pb2.CheckpointTaskRequest(options=options(runc_pb2.CheckpointOptions(image_path="/there")))
    assert image_path(named, "r") == "/there"
    assert image_path(tasks_pb2.CheckpointTaskRequest(), "r") == ""


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (Any(type_url="x"), "type with url x: not found"),
        (options(runc_pb2.Options()), "invalid task checkpoint option for r"),
    ],
)
def test_options_of_something_else_are_refused(given: Any, text: str) -> None:
    with pytest.raises(Unknown, match=text):
        image_path(tasks_pb2.CheckpointTaskRequest(options=given), "r")


def test_a_type_is_known_by_its_full_name() -> None:
    assert is_known_type("containerd.runc.v1.Options")
    assert not is_known_type("x")
