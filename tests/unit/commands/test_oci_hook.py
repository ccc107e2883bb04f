"""`containerd oci-hook`."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pycontainerd.commands.containerd.oci_hook import State, render
from pycontainerd.errors import InvalidArgument
from tests.harness import peers

FUNCTIONS: dict[str, Callable[..., str]] = {"id": lambda: "c1", "annotation": lambda key: f"<{key}>"}


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("plain", "plain"),
        ("{{id}}", "c1"),
        ("a{{ id }}b{{id}}", "ac1bc1"),
        ("a  {{- id -}}  b", "ac1b"),
        ("{{/* nothing */}}x", "x"),
        ('{{annotation "k k"}}', "<k k>"),
        ("{{annotation `k`}}", "<k>"),
        ('{{"text"}}', "text"),
        ("}}", "}}"),
    ],
)
def test_an_action_is_replaced(template: str, rendered: str) -> None:
    assert render(template, FUNCTIONS) == rendered


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{foo}}", 'function "foo" not defined'),
        ("{{id", "unclosed action"),
        ("{{}}", "missing value for command"),
        ("{{annotation}}", "wrong number of args for annotation: want 1 got 0"),
        ("{{id 1}}", "wrong number of args for id: want 0 got 1"),
    ],
)
def test_a_template_that_cannot_be_read_is_refused(template: str, reason: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        render(template, FUNCTIONS)
    assert str(caught.value) == f"template: oci-hook:1: {reason}"


@pytest.fixture
def state(tmp_path: Path) -> bytes:
    """The state of a container whose bundle is there."""
    (tmp_path / "config.json").write_text(json.dumps({"ociVersion": "1.0.0", "root": {"path": "rootfs"}}))
    container = {"id": "c1", "status": "created", "pid": 42, "bundle": str(tmp_path), "annotations": {"k": "v"}}
    return json.dumps(container).encode()


@pytest.mark.parametrize("kind", [peers.stock, peers.ours], ids=["stock", "ours"])
def test_a_hook_executes_the_rendered_program(kind: Callable[[str], Path], state: bytes, tmp_path: Path) -> None:
    words = ["{{id}}", "{{bundle}}", "{{rootfs}}", "{{pid}}", "{{status}}", '{{annotation "k"}}', '{{annotation "x"}}']
    done = subprocess.run(
        [kind("containerd"), "oci-hook", "--", "/bin/sh", "-c", 'echo "$@" $NAME', "sh", *words],
        input=state,
        capture_output=True,
        env={"NAME": "env-{{id}}", "PATH": os.environ["PATH"]},
        check=True,
    )
    assert done.stdout.decode().split() == [
        "c1",
        str(tmp_path),
        str(tmp_path / "rootfs"),
        "42",
        "created",
        "v",
        "env-c1",
    ]


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff"])
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match="the state on standard input"):
        State.read(data)


def test_a_root_may_be_absolute(state: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"root": {"path": "/elsewhere"}}')
    assert State.read(state).rootfs == "/elsewhere"
