"""How a daemon starts a shim of any make, and what it makes of its answer: ours beside stock, with the same shims."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from pycontainerd.api.containerd import types_pb2
from pycontainerd.api.containerd.runc import v1_pb2 as runc_pb2
from pycontainerd.api.containerd.services.introspection import v1_pb2 as introspection_pb2
from tests.harness.daemon import OURS, STOCK, Kind
from tests.integration.sandboxes.house import House, house

Both = dict[Kind, House]
INTROSPECTION = introspection_pb2.DESCRIPTOR.services_by_name["Introspection"]


@pytest.fixture(scope="module")
def both(session_base: Path) -> Iterator[Both]:
    with house(STOCK, session_base / "shims-stock") as stock, house(OURS, session_base / "shims-ours") as ours:
        yield {STOCK: stock, OURS: ours}


def options() -> AnyMessage:
    given = runc_pb2.Options(binary_name="x", systemd_cgroup=True)
    return AnyMessage(type_url=given.DESCRIPTOR.full_name, value=given.SerializeToString())


def life(each: House, id_: str, kind: str) -> list[str]:
    """Answers of a task's life in a shim of *kind*."""
    each.container(id_, "", kind)
    said = [each.task("create", id_, options=options()), each.task("start", id_), each.task("get", id_)]
    said += [each.task("kill", id_, signal=9), each.task("wait", id_)]
    return said


def started(each: House, id_: str) -> Any:
    """How the shim of a task was started."""
    return json.loads(each.plain((each.task_bundle(id_) / "started").read_text()))


@pytest.mark.parametrize("kind", ["ttrpc3-proto", "ttrpc3-json", "ttrpc2-json", "ttrpc2-text"])
def test_a_shim_that_tells_where_it_serves_serves(both: Both, kind: str) -> None:
    seen = {}
    for whose, each in both.items():
        said = life(each, kind, kind)
        bootstrap = each.plain((each.task_bundle(kind) / "bootstrap.json").read_text())
        said.append(each.task("delete", kind))
        assert not each.task_bundle(kind).exists()
        seen[whose] = [*said, bootstrap]
    assert seen[OURS] == seen[STOCK]


@pytest.mark.parametrize("kind", ["ttrpc1-json", "ttrpc4-json", "ttrpc3-fails", "ttrpc3-nothing", "ttrpc3-what"])
def test_a_shim_that_does_not_is_refused_in_the_words_of_stock(both: Both, kind: str) -> None:
    seen = {}
    for whose, each in both.items():
        each.container(kind, "", kind)
        seen[whose] = each.task("create", kind).replace(each.shim(kind), "SHIM")
        assert not each.task_bundle(kind).exists()
    assert seen[OURS] == seen[STOCK]


def test_a_shim_is_told_what_stock_tells_it(both: Both) -> None:
    seen = {}
    for whose, each in both.items():
        each.container("told", "", "ttrpc3-proto")
        assert each.task("create", "told", options=options()).startswith("container_id")
        seen[whose] = started(each, "told")
        assert each.task("delete", "told").startswith("pid")
    version = {whose: it["params"].pop("containerdVersion") for whose, it in seen.items()}
    binary = {whose: it["params"].pop("containerdBinary") for whose, it in seen.items()}
    for whose, it in seen.items():
        it["arguments"] = [word.replace(binary[whose], "CONTAINERD") for word in it["arguments"]]
        assert binary[whose] == str(whose.program("containerd"))
    assert seen[OURS] == seen[STOCK]
    assert version[OURS].startswith("v2.3.4+pycontainerd")
    assert seen[OURS]["params"]["extensions"] == [f"containerd.runc.v1.Options {options().value.hex()}"]


def test_a_shim_describes_itself_as_to_stock(both: Both) -> None:
    seen = {}
    for whose, each in both.items():
        request = types_pb2.RuntimeRequest(runtime_path=each.shim("ttrpc3-proto"), options=options())
        asked = introspection_pb2.PluginInfoRequest(type="io.containerd.runtime.v2", id="task")
        asked.options.type_url = request.DESCRIPTOR.full_name
        asked.options.value = request.SerializeToString()
        answer = each.asker.ask(INTROSPECTION, "plugin_info", asked, namespace=each.namespace)
        seen[whose] = types_pb2.RuntimeInfo.FromString(answer.extra.value)
    assert seen[OURS] == seen[STOCK]
    assert (seen[OURS].name, seen[OURS].options) == ("test", options())


@pytest.mark.parametrize("kind", ["ttrpc2-text", "grpc3-json"])
def test_tasks_in_shims_of_any_make_are_found_again(session_base: Path, kind: str) -> None:
    with house(OURS, session_base / f"again-{kind}") as each:
        each.container("c", "", kind)
        assert each.run_task("c").startswith("pid")
        each.daemon.kill()
        each.daemon.up()
        assert "status: RUNNING" in each.task("get", "c")
        assert each.task("kill", "c", signal=9) == ""
        assert "exit_status: 137" in each.task("wait", "c")
        assert "exit_status: 137" in each.task("delete", "c")
        assert not each.task_bundle("c").exists()
