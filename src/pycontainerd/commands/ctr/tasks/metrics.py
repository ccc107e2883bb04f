"""`ctr tasks metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycontainerd.commands.ctr import documents, tables
from pycontainerd.commands.ctr.flags import Flag
from pycontainerd.errors import InvalidArgument, Unknown

if TYPE_CHECKING:
    from pycontainerd.api.containerd.types_pb2 import Metric
    from pycontainerd.commands.ctr.context import Context

FLAGS = (Flag("format", usage="table or json", default="table"),)
USAGE = "CONTAINER"

V1 = "io.containerd.cgroups.v1.Metrics"
V2 = "io.containerd.cgroups.v2.Metrics"
_V1_MEMBERS = ("hugetlb", "pids", "cpu", "memory", "blkio", "rdma", "network", "cgroup_stats", "memory_oom_control")
_V2_MEMBERS = ("pids", "cpu", "memory", "rdma", "io", "hugetlb", "memory_events", "network")


async def run(ctx: Context) -> None:
    from pycontainerd.commands.ctr.tasks.target import container_and_task

    client = await ctx.client()
    container_id = ctx.argument(0)
    await container_and_task(client, container_id)
    metrics = await client.tasks.metrics(f"id=={container_id}")
    if not metrics:
        raise Unknown("no metrics received")
    data = _decoded(metrics[0])
    match ctx.text("format"):
        case "table":
            _show(metrics[0], data)
        case "json":
            documents.show(_ordered(data), indent=2)
        case _:
            raise InvalidArgument("format must be table or json", bare=True)


def _decoded(metric: Metric) -> Any:
    kind = metric.data.type_url.rpartition("/")[2]
    if kind == V1:
        from pycontainerd.api.io.containerd.cgroups.v1_pb2 import Metrics as MetricsV1

        return MetricsV1.FromString(metric.data.value)
    if kind == V2:
        from pycontainerd.api.io.containerd.cgroups.v2_pb2 import Metrics as MetricsV2

        return MetricsV2.FromString(metric.data.value)
    raise Unknown("cannot convert metric data to cgroups.Metrics or windows.Statistics")


def _ordered(data: Any) -> dict[str, Any]:
    """The metrics with their members in the order of Go's struct."""
    value = documents.message_value(data)
    names = _V1_MEMBERS if data.DESCRIPTOR.full_name == V1 else _V2_MEMBERS
    return {name: value[name] for name in names if name in value}


def _show(metric: Metric, data: Any) -> None:
    stamp = f"seconds:{metric.timestamp.seconds} nanos:{metric.timestamp.nanos}"
    rows = _rows_v1(data) if data.DESCRIPTOR.full_name == V1 else _rows_v2(data)
    lines = ["ID\tTIMESTAMP\t", f"{metric.id}\t{stamp}\t", "", "METRIC\tVALUE\t"]
    lines += [f"{name}\t{value}\t" for name, value in rows]
    import sys

    sys.stdout.write(tables.layout(lines, tables.PROCESSES))


def _rows_v1(data: Any) -> list[tuple[str, str]]:
    rows: list[tuple[str, object]] = []
    if data.HasField("memory"):
        rows += [
            ("memory.usage_in_bytes", data.memory.usage.usage),
            ("memory.limit_in_bytes", data.memory.usage.limit),
            ("memory.stat.cache", data.memory.total_cache),
        ]
    if data.HasField("cpu"):
        each = " ".join(map(str, data.cpu.usage.per_cpu))
        rows += [("cpuacct.usage", data.cpu.usage.total), ("cpuacct.usage_percpu", f"[{each}]")]
    if data.HasField("pids"):
        rows += [("pids.current", data.pids.current), ("pids.limit", data.pids.limit)]
    return [(name, str(value)) for name, value in rows]


def _rows_v2(data: Any) -> list[tuple[str, str]]:
    rows: list[tuple[str, object]] = []
    if data.HasField("pids"):
        rows += [("pids.current", data.pids.current), ("pids.limit", data.pids.limit)]
    if data.HasField("cpu"):
        names = ("usage_usec", "user_usec", "system_usec", "nr_periods", "nr_throttled", "throttled_usec")
        rows += [(f"cpu.{name}", getattr(data.cpu, name)) for name in names]
    if data.HasField("memory"):
        memory = data.memory
        rows += [
            ("memory.usage", memory.usage),
            ("memory.usage_limit", memory.usage_limit),
            ("memory.swap_usage", memory.swap_usage),
            ("memory.swap_limit", memory.swap_limit),
        ]
    return [(name, str(value)) for name, value in rows]
