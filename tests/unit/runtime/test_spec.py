"""What the daemon reads of a spec."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pycontainerd.errors import Unknown
from pycontainerd.runtime.spec import SpecView, view


def of(document: dict[str, Any]) -> SpecView:
    return view(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("annotations", "group"),
    [
        ({}, None),
        ({"other": "x"}, None),
        ({"io.kubernetes.cri.sandbox-id": "pod"}, "pod"),
        ({"io.kubernetes.cri.sandbox-id": "pod", "io.containerd.runc.v2.group": "g"}, "g"),
        ({"io.containerd.runc.v2.group": ""}, None),
    ],
)
def test_the_group_is_the_first_annotation_that_names_one(annotations: dict[str, str], group: str | None) -> None:
    assert of({"annotations": annotations}).group() == group


def test_the_group_that_may_enter_is_the_one_that_is_root_inside() -> None:
    mappings = [{"containerID": 1, "hostID": 5, "size": 1}, {"containerID": 0, "hostID": 1000, "size": 1}]
    assert of({"linux": {"gidMappings": mappings}}).root_gid() == 1000
    assert of({"linux": {"gidMappings": mappings[:1]}}).root_gid() is None
    assert of({"linux": {}}).root_gid() is None
    assert of({}).root_gid() is None


@pytest.mark.parametrize(
    ("mount", "has"),
    [
        ({"destination": "/a"}, False),
        ({"destination": "/a", "options": ["rbind", "ro"]}, False),
        ({"destination": "/a", "options": ["idmap"]}, True),
        ({"destination": "/a", "options": ["ridmap"]}, True),
        ({"destination": "/a", "uidMappings": [{"containerID": 0, "hostID": 1, "size": 1}]}, True),
    ],
)
def test_a_mount_with_mapped_ids_is_seen(mount: dict[str, Any], has: bool) -> None:
    assert of({"mounts": [{"destination": "/proc"}, mount]}).has_idmap_mounts() is has


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"annotations": 3}', b"\xff"])
def test_what_is_no_spec_is_refused(content: bytes) -> None:
    with pytest.raises(Unknown, match="spec of the container"):
        view(content)
