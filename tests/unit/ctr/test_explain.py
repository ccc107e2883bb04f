"""How `ctr tasks explain` shows a journal."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from pycontainerd.api.pycontainerd.services.tasks.v1_pb2 import Journal, Step
from pycontainerd.commands.ctr.tasks import explain


class Context:
    """Prints."""

    def print(self, text: str = "") -> None:
        print(text)


def step(at_ms: int, took_ms: int | None, what: str, **more: str) -> Step:
    took = Duration(nanos=took_ms * 1_000_000) if took_ms is not None else None
    return Step(at=Timestamp(seconds=1_700_000_000, nanos=at_ms * 1_000_000), took=took, by="shim", what=what, **more)


def shown(capsys: pytest.CaptureFixture[str], *steps: Step, gone: bool = False) -> list[str]:
    context: Any = Context()
    explain._show(context, "c1", Journal(steps=steps, gone=gone))
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_a_failure_is_named_by_its_innermost_step(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(
        capsys,
        step(0, 3, "start shim"),
        step(4, 20, "create", error="it failed:\n why"),
        step(5, 10, "runc create", error="why"),
        step(25, 1, "unmount", error="as well"),
        gone=True,
    )
    assert lines == [
        "c1, gone, begun at 2023-11-14T22:13:20Z: failed at runc create",
        "AT TOOK BY STEP RESULT",
        "+0.000s 3.0ms shim start shim ok",
        "+0.004s 20.0ms shim create failed: it failed: why",
        "+0.005s 10.0ms shim runc create failed: why",
        "+0.025s 1.0ms shim unmount failed: as well",
    ]


def test_what_has_not_ended_is_under_way(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, step(0, 3, "start shim"), step(4, None, "create"), step(5, None, "runc create"))
    assert lines[0] == "c1, there, begun at 2023-11-14T22:13:20Z: under way: runc create"
    assert lines[-1] == "+0.005s - shim runc create not ended"


def test_a_moment_has_a_result_and_no_duration(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, step(0, 0, "exit of c1", result="status 3"))
    assert lines[0].endswith("nothing has failed")
    assert lines[-1] == "+0.000s shim exit of c1 status 3"
