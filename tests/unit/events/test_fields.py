"""What a filter sees of an event."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from pycontainerd.api.containerd import events_pb2
from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2
from pycontainerd.api.containerd.services.images import v1_pb2 as images_pb2
from pycontainerd.events.model import Envelope


def created() -> events_pb2.ContainerCreate:
    event = events_pb2.ContainerCreate(id="c1", image="img")
    event.runtime.name = "io.containerd.runc.v2"
    event.runtime.options.type_url = "containerd.runc.v1.Options"
    event.runtime.options.value = runc_pb2.Options(binary_name="crun", systemd_cgroup=True).SerializeToString()
    return event


IMAGE = images_pb2.ImageCreate(name="busybox", labels={"io.example/a.b": "x", "empty": ""})
TASK = events_pb2.TaskCreate(
    container_id="c1", pid=3, io=events_pb2.TaskIO(stdin="in", terminal=True), rootfs=[{"type": "overlay"}]
)


@pytest.mark.parametrize(
    ("event", "path", "value"),
    [
        (IMAGE, "namespace", "ns"),
        (IMAGE, "topic", "/t"),
        (IMAGE, "event.name", "busybox"),
        (IMAGE, "event.labels.io.example/a.b", "x"),
        (IMAGE, "event.labels.empty", ""),
        (created(), "event.id", "c1"),
        (created(), "event.runtime.name", "io.containerd.runc.v2"),
        (created(), "event.runtime.options.binary_name", "crun"),
        (created(), "event.runtime.options.systemd_cgroup", "true"),
        (TASK, "event.io.stdin", "in"),
        (TASK, "event.io.terminal", "true"),
    ],
)
def test_a_field_is_present(event: Message, path: str, value: str) -> None:
    envelope = Envelope.of("ns", "/t", event, 1)
    assert envelope.field(path.split(".")) == (value, True)


@pytest.mark.parametrize(
    ("event", "path"),
    [
        (IMAGE, "other"),
        (IMAGE, "event"),
        (IMAGE, "event.labels"),
        (IMAGE, "event.labels.none"),
        (TASK, "event.pid"),
        (TASK, "event.rootfs"),
        (TASK, "event.checkpoint"),
        (TASK, "event.io"),
        (TASK, "event.DESCRIPTOR"),
        (events_pb2.TaskCreate(), "event.io.stdin"),
        (events_pb2.TaskExit(pid=3), "event.exited_at.seconds"),
        (events_pb2.ContentCreate(size=3), "event.size"),
    ],
)
def test_a_field_is_absent(event: Message, path: str) -> None:
    envelope = Envelope.of("ns", "/t", event, 1)
    assert envelope.field(path.split(".")) == ("", False)


def test_a_payload_that_nobody_knows_has_no_fields() -> None:
    envelope = Envelope.of("ns", "/t", IMAGE, 1)
    envelope.wire.event.type_url = "org.example.Unknown"
    assert envelope.field(["event", "name"]) == ("", False)


def test_a_payload_that_does_not_parse_has_no_fields() -> None:
    envelope = Envelope.of("ns", "/t", IMAGE, 1)
    envelope.wire.event.value = b"\xff\xff"
    assert envelope.field(["event", "name"]) == ("", False)


def test_a_type_url_with_a_prefix_is_understood() -> None:
    envelope = Envelope.of("ns", "/t", IMAGE, 1)
    envelope.wire.event.type_url = "type.googleapis.com/containerd.services.images.v1.ImageCreate"
    assert envelope.field(["event", "name"]) == ("busybox", True)
