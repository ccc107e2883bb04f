"""Where a task that is created from a checkpoint finds it."""

from __future__ import annotations

import pytest

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2
from pycontainerd.api.containerd.services.tasks import v1_pb2 as tasks_pb2
from pycontainerd.errors import Unimplemented, Unknown
from pycontainerd.tasks.checkpoints import IMAGE_TYPE, RESTORE_FROM, directory, is_known_type


def request(**descriptor: object) -> tasks_pb2.CreateTaskRequest:
    checkpoint = types_pb2.Descriptor(**descriptor) if descriptor else None  # type: ignore[arg-type]
    return tasks_pb2.CreateTaskRequest(container_id="c", checkpoint=checkpoint)


def test_a_task_without_a_checkpoint_has_none() -> None:
    assert directory(request(), runc_pb2.Options()) == ""


def test_the_options_name_a_directory_before_anything_else() -> None:
    options = runc_pb2.Options(criu_image_path="/images")
    assert directory(request(media_type="what/ever"), options) == "/images"


def test_the_descriptor_may_name_a_directory() -> None:
    named = request(media_type=IMAGE_TYPE, annotations={RESTORE_FROM: "/there"})
    assert directory(named, runc_pb2.Options()) == "/there"


def test_a_descriptor_of_something_else_is_refused() -> None:
    with pytest.raises(Unknown, match='unsupported checkpoint type "text/plain"'):
        directory(request(media_type="text/plain"), runc_pb2.Options())


def test_a_checkpoint_in_content_is_not_built() -> None:
    with pytest.raises(Unimplemented, match="task c"):
        directory(request(media_type=IMAGE_TYPE), runc_pb2.Options())


def test_a_type_is_known_by_its_full_name() -> None:
    assert is_known_type("containerd.runc.v1.Options")
    assert not is_known_type("x")
