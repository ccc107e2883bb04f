"""The controller `shim` of our daemon beside that of stock, with the same shims; and its sandboxes after a restart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pycontainerd.api.containerd import types_pb2
from tests.harness.daemon import OURS, STOCK, Kind
from tests.harness.differences import deliberate
from tests.integration.sandboxes.house import House, house
from tests.integration.sandboxes.program import CREATED_S, EXITED_S, FAILURES
from tests.integration.test_shim_under_stock import Events, wait_ended

Both = dict[Kind, House]


@pytest.fixture(scope="module")
def both(session_base: Path) -> Iterator[Both]:
    with (
        house(STOCK, session_base / "sandboxes-stock") as stock,
        house(OURS, session_base / "sandboxes-ours") as ours,
    ):
        yield {STOCK: stock, OURS: ours}


def test_a_sandbox_lives_as_in_stock(both: Both) -> None:
    seen: dict[Kind, Any] = {}
    for kind, each in both.items():
        with Events(each.daemon) as events:
            said = [
                each.create(
                    "s1",
                    netns_path="/netns",
                    annotations={"key": "value"},
                    rootfs=[types_pb2.Mount(type="bind", source="/x", options=["ro"])],
                    options={"type_url": "options", "value": b"abc"},
                ),
                each.create("s1"),
                *(each.control(method, "s1") for method in ("status", "start", "metrics", "platform", "update")),
                each.control("status", "s1", verbose=True),
                each.control("update", "s1", sandbox=each.sandbox("s1"), fields=["labels"]),
                each.control("stop", "s1", timeout_secs=5),
                *(each.control(method, "s1") for method in ("wait", "wait", "status")),
            ]
            names = {entry.name: entry.lstat().st_mode for entry in each.bundle("s1").iterdir()}
            asked = each.asked("s1")
            said += [each.control(method, "s1") for method in ("shutdown", "status", "stop", "wait", "shutdown")]
            said += [each.control(method, "s1") for method in ("start", "metrics")]
            events.until("/tasks/delete")
        told = [
            (line.split()[5], each.plain(line.partition("{")[2]))
            for line in events.lines
            if "s1" in line and "/sandboxes" in line
        ]
        seen[kind] = (said, names, asked, told, events.topics())
        assert not each.bundle("s1").exists()
    for ours, theirs in zip(seen[OURS], seen[STOCK], strict=True):
        assert ours == theirs
    said, _, asked, told, _ = seen[OURS]
    assert said[0] == 'sandbox_id: "s1"'
    assert f"pid: N created_at {{ seconds: {CREATED_S} }}" in said[3]
    assert f"exit_status: 7 exited_at {{ seconds: {EXITED_S} }}" in said
    assert (asked[0]["netnsPath"], asked[0]["annotations"]) == ("/netns", {"key": "value"})
    assert [topic for topic, _ in told] == ["/sandboxes/create", "/sandboxes/start", *["/sandboxes/exit"] * 2]


def test_what_a_shim_refuses_is_told_in_the_words_of_stock(both: Both) -> None:
    methods = {
        "stop": "StopSandbox",
        "wait": "WaitSandbox",
        "status": "SandboxStatus",
        "metrics": "SandboxMetrics",
        "shutdown": "ShutdownSandbox",
    }
    said: dict[Kind, list[str]] = {}
    for kind, each in both.items():
        each.create("s2")
        said[kind] = []
        for failure in FAILURES:
            (each.bundle("s2") / "refuse").write_text(json.dumps(dict.fromkeys(methods.values(), failure)))
            said[kind] += [each.control(method, "s2") for method in methods]
        (each.bundle("s2") / "refuse").unlink()
        assert each.control("shutdown", "s2") == ""
    assert said[OURS] == said[STOCK]


def test_a_sandbox_that_can_not_be_made_or_started_is_gone(both: Both) -> None:
    said: dict[Kind, list[str]] = {}
    for kind, each in both.items():
        said[kind] = []
        for id_ in ("CreateSandbox-refused", "StartSandbox-refused"):
            said[kind] += [each.create(id_), each.control("start", id_), each.control("wait", id_)]
            assert not each.bundle(id_).exists()
    assert said[OURS] == said[STOCK]


def test_bad_requests_are_refused_as_by_stock(both: Both) -> None:
    answers = {
        kind: [
            each.control("create", "nosandbox"),
            each.create("b@d"),
            each.create(""),
            each.create("none", kind="io.containerd.nope.v2"),
            each.create("future", kind="ttrpc4-json"),
            each.create("runc", kind="io.containerd.runc.v2"),
            *(each.control(method, "x", sandboxer="nobody") for method in ("create", "start", "wait", "update")),
            *(each.control(method, "x", sandboxer="") for method in ("create", "start", "stop", "update")),
            *(each.control(method, "unknown") for method in ("start", "stop", "wait", "status", "shutdown", "metrics")),
        ]
        for kind, each in both.items()
    }
    assert answers[OURS] == answers[STOCK]
    assert (
        "UNIMPLEMENTED: failed to create sandbox runc: service containerd.runtime.sandbox.v1.Sandbox" in answers[OURS]
    )


def test_our_shim_is_not_left_behind_when_it_refuses_to_be_a_sandbox(both: Both) -> None:
    each = both[OURS]
    each.create("refused", kind="io.containerd.runc.v2")
    assert not each.bundle("refused").exists()
    for pid in shims_of(each.namespace, "refused"):
        wait_ended(pid)


def shims_of(namespace: str, id_: str) -> list[int]:
    """The pids of our shims of that title."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if f"-namespace\0{namespace}\0-id\0{id_}\0".encode() in command:
            found.append(int(process.name))
    return found


@pytest.mark.parametrize("kind", ["ttrpc3-json", "ttrpc2-json", "ttrpc2-text", "grpc3-proto", "grpc3-json"])
def test_shims_of_every_protocol_version_and_form_are_sandboxes(both: Both, kind: str) -> None:
    if kind.startswith("grpc"):
        # Stock takes the connection to such a shim for lost as soon as it stands.
        assert deliberate("grpc-shims-kept")
        both = {OURS: both[OURS]}
    said = {}
    for whose, each in both.items():
        said[whose] = [
            each.create(kind, kind),
            *(each.control(method, kind) for method in ("start", "status", "shutdown")),
        ]
    assert said[OURS] == said.get(STOCK, said[OURS])
    assert 'state: "SANDBOX_READY"' in said[OURS][2]
    assert said[OURS][3] == ""
