"""The figures of control groups, under the names of the original."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from google.protobuf.message import Message

from pycontainerd.api.io.containerd.cgroups import v1_pb2, v2_pb2
from pycontainerd.errors import Unknown
from pycontainerd.measures import Metric
from pycontainerd.monitoring.figures import figures_of
from pycontainerd.monitoring.monitor import CgroupMonitor
from pycontainerd.runtime.model import Payload
from pycontainerd.tasks.model import Counted


def packed(message: Message) -> Payload:
    return Payload(message.DESCRIPTOR.full_name, message.SerializeToString())


def figures(message: Message) -> dict[str, list[tuple[float, dict[str, str]]]]:
    data = packed(message)
    found = {figure.name: [(v, dict(labels)) for v, labels in values] for figure, values in figures_of(*_pair(data))}
    return {name: values for name, values in found.items() if values}


def _pair(data: Payload) -> tuple[str, bytes]:
    return data.type_url, data.value


def test_version_1_is_read() -> None:
    message = v1_pb2.Metrics()
    message.cpu.usage.total = 7
    message.cpu.usage.per_cpu.extend([3, 4])
    message.memory.pg_fault = 5
    message.memory.hierarchical_swap_limit = 9
    message.memory.kernel_tcp.max = 6
    message.blkio.io_serviced_recursive.add(op="Read", device="sda", major=8, minor=1, value=2)
    message.hugetlb.add(pagesize="2MB", usage=1, max=2, failcnt=3)
    found = figures(message)
    assert found["cpu_total_nanoseconds"] == [(7, {})]
    assert found["per_cpu_nanoseconds"] == [(3, {"cpu": "0"}), (4, {"cpu": "1"})]
    assert found["memory_pgfault_bytes"] == [(5, {})]
    assert found["memory_hierarchical_memsw_limit_bytes"] == [(9, {})]
    assert found["memory_kerneltcp_max_bytes"] == [(6, {})]
    assert found["memory_kerneltcp_limit_bytes"] == [(0, {})]
    where = {"op": "Read", "device": "sda", "major": "8", "minor": "1"}
    assert found["blkio_io_serviced_recursive_total"] == [(2, where)]
    assert found["hugetlb_failcnt_total"] == [(3, {"page": "2MB"})]
    assert "pids_current" not in found
    assert "cpu_throttle_periods_total" not in found


def test_version_2_is_read() -> None:
    message = v2_pb2.Metrics()
    message.cpu.usage_usec = 7
    message.memory.slab = 5
    message.memory_events.oom = 2
    message.pids.current = 3
    message.io.usage.add(major=8, minor=1, rbytes=11, wios=12)
    found = figures(message)
    assert found["cpu_usage_usec_microseconds"] == [(7, {})]
    assert found["memory_slab_bytes"] == [(5, {})]
    assert found["memory_oom_total"] == [(2, {})]
    assert (found["pids_current"], found["pids_limit"]) == ([(3, {})], [(0, {})])
    assert found["io_rbytes_bytes"] == [(11, {"major": "8", "minor": "1"})]
    assert found["io_wios_total"] == [(12, {"major": "8", "minor": "1"})]


@pytest.mark.parametrize("kind", [v1_pb2.Metrics, v2_pb2.Metrics])
def test_every_figure_can_be_read_of_an_empty_message(kind: type[Message]) -> None:
    assert figures(kind()) == {}


def test_what_is_no_message_of_control_groups_is_refused() -> None:
    with pytest.raises(Unknown):
        list(figures_of("a.b", b""))
    with pytest.raises(Unknown):
        list(figures_of(v1_pb2.Metrics.DESCRIPTOR.full_name, b"\xff"))


@dataclass
class Tasks:
    """Tasks that have counted something."""

    all: list[Counted]

    async def counted(self) -> Sequence[Counted]:
        return self.all


def measured(tasks: Tasks | None, *, silent: bool = False) -> Sequence[Metric]:
    monitor = CgroupMonitor(silent=silent)
    if tasks is not None:
        monitor.follow(tasks)
    return asyncio.run(monitor.measures())


def test_each_task_is_a_sample_and_one_that_counts_otherwise_is_left_out() -> None:
    message = v1_pb2.Metrics()
    message.pids.current = 3
    tasks = Tasks([Counted("n", "a", "r", packed(message)), Counted("n", "b", "s", Payload("x", b""))])
    metrics = {metric.name: metric for metric in measured(tasks)}
    assert sorted(metrics) == ["container_pids_current", "container_pids_limit"]
    current = metrics["container_pids_current"]
    assert (current.kind, current.help) == ("gauge", "The current number of pids")
    (sample,) = current.samples
    assert (sample.value, dict(sample.labels)) == (3, {"container_id": "a", "namespace": "n", "runtime": "r"})


def test_there_are_no_metrics_where_nobody_wants_them() -> None:
    tasks = Tasks([Counted("n", "a", "r", packed(v1_pb2.Metrics()))])
    assert not measured(tasks, silent=True)
    assert not measured(None)
