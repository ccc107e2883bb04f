"""Tasks that join the shim of a sandbox; and what becomes of both when shims and daemons end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.harness.daemon import OURS, STOCK, Kind
from tests.harness.differences import deliberate
from tests.integration.sandboxes.house import House, house
from tests.integration.test_shim_under_stock import Events, wait_ended


def made(each: House, id_: str, kind: str = "ttrpc3-proto") -> None:
    """A sandbox that runs, with its record."""
    each.record(id_, kind)
    assert each.create(id_, kind) == f'sandbox_id: "{id_}"'
    assert each.control("start", id_).startswith("sandbox_id")


def joined(each: House, id_: str, sandbox: str, **fields: Any) -> str:
    """What came of a task of a new container in a sandbox."""
    each.container(id_, sandbox)
    return each.run_task(id_, **fields)


PLACES: list[tuple[str, Callable[[House], dict[str, Any]]]] = [
    ("s", lambda _: {}),
    ("s", lambda each: {"task_api_address": f"ttrpc+unix://{each.socket('s')}", "task_api_version": 3}),
    ("s", lambda each: {"task_api_address": f"ttrpc+unix://{each.socket('s')}", "task_api_version": 2}),
    ("s", lambda each: {"task_api_address": f"unix://{each.socket('s')}", "task_api_version": 3}),
    ("s", lambda each: {"task_api_address": f"ttrpc+unix://{each.socket('none')}", "task_api_version": 3}),
    ("s", lambda each: {"task_api_address": f"what+unix://{each.socket('s')}", "task_api_version": 3}),
    ("s", lambda each: {"task_api_address": f"ttrpc+unix://{each.socket('s')}", "task_api_version": 7}),
    ("unrecorded", lambda each: {"task_api_address": f"ttrpc+unix://{each.socket('s')}", "task_api_version": 3}),
    ("gone", lambda _: {}),
]


def test_tasks_join_the_shim_of_their_sandbox_as_with_stock(session_base: Path) -> None:
    seen: dict[Kind, Any] = {}
    for kind in (STOCK, OURS):
        with house(kind, session_base / f"joining-{kind}") as each:
            made(each, "s")
            each.record("gone")
            said = [joined(each, f"c{number}", sandbox, **of(each)) for number, (sandbox, of) in enumerate(PLACES)]
            files = [
                sorted(set(os.listdir(each.task_bundle(f"c{number}"))) - {"steps.jsonl", "asked"})
                for number, answer in enumerate(said)
                if answer.startswith("pid")
            ]
            in_sandbox = [call["id"] for call in each.asked("s") if call["method"] == "Create"]
            assert (each.task_bundle("c0") / "sandbox").read_text() == "s"
            said += [each.task("kill", "c0", signal=9), each.task("wait", "c0"), each.task("delete", "c0")]
            assert not each.task_bundle("c0").exists()
            shut_down = [call for call in each.asked("s") if call["method"] == "Shutdown"]
            said += [each.control(method, "s") for method in ("status", "shutdown")]
            seen[kind] = (said, files, in_sandbox, shut_down)
    for ours, theirs in zip(seen[OURS], seen[STOCK], strict=True):
        assert ours == theirs
    assert (seen[OURS][2], seen[OURS][3]) == (["c0", "c1"], [])


@pytest.mark.parametrize("how", ["shutdown", "kill"])
def test_the_end_of_a_sandbox_is_the_end_of_its_tasks(session_base: Path, how: str) -> None:
    assert deliberate("sandbox-tasks-told")
    with house(OURS, session_base / f"ends-{how}") as each:
        made(each, "s")
        assert joined(each, "c", "s").startswith("pid")
        shim = each.shim_pid("s")
        with Events(each.daemon) as events:
            if how == "shutdown":
                assert each.control("shutdown", "s") == ""
            else:
                os.kill(shim, signal.SIGKILL)
            events.until("/tasks/delete", count=2)
        ends = [line for line in events.lines if "/tasks/" in line]
        assert [topic for line in ends if '"c"' in line for topic in line.split() if topic.startswith("/")] == [
            "/tasks/exit",
            "/tasks/delete",
        ]
        assert '"exit_status":255' in next(line for line in ends if '"c"' in line)
        assert '"exit_status":137' in next(line for line in ends if '"s"' in line)
        assert each.task("list") == ""
        assert [each.task_bundle("c").exists(), each.bundle("s").exists()] == [False, False]
        assert each.control("wait", "s") == "NOT_FOUND: not found"


def test_sandboxes_and_their_tasks_are_found_again(session_base: Path) -> None:
    with house(OURS, session_base / "again") as each:
        made(each, "s")
        assert joined(each, "c", "s").startswith("pid")
        each.create("leaked")
        leaked = each.shim_pid("leaked")
        made(each, "dead")
        assert joined(each, "d", "dead").startswith("pid")
        dead = each.shim_pid("dead")
        each.daemon.kill()
        os.kill(dead, signal.SIGKILL)
        each.daemon.up()
        assert 'state: "SANDBOX_READY"' in each.control("status", "s")
        assert 'id: "c"' in each.task("list")
        assert each.control("wait", "leaked") == each.control("wait", "dead") == "NOT_FOUND: not found"
        assert [each.bundle(id_).exists() for id_ in ("s", "leaked", "dead")] == [True, False, False]
        assert [each.task_bundle(id_).exists() for id_ in ("c", "d")] == [True, False]
        wait_ended(leaked)
        each.container("e", "s")
        assert each.run_task("e").startswith("pid")
        for id_ in ("c", "e"):
            each.task("kill", id_, signal=9)
            assert "exit_status: 137" in each.task("wait", id_)
            assert "exit_status: 137" in each.task("delete", id_)
        assert each.control("shutdown", "s") == ""
