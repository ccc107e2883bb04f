"""The figures in the metrics messages of both versions of control groups, by the names of the original."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from google.protobuf.message import DecodeError
from msgspec import Struct

from pycontainerd.api.io.containerd.cgroups import v1_pb2, v2_pb2
from pycontainerd.errors import Unknown

Labels = Mapping[str, str]
Values = Iterable[tuple[float, Labels]]

_NONE: Final[Labels] = {}


class Figure(Struct, frozen=True):
    """One gauge: how to find its values in a message; none where the message does not have them."""

    name: str
    help: str
    values: Callable[[Any], Values]


def figures_of(type_url: str, data: bytes) -> Iterator[tuple[Figure, Values]]:
    """The figures in what a shim answers. Raises Unknown for another type or broken bytes."""
    kind, figures = _KINDS.get(type_url.rpartition("/")[2], (None, ()))
    if kind is None:
        raise Unknown(f"metrics of type {type_url} are none of a control group")
    try:
        message = kind.FromString(data)
    except DecodeError as error:
        raise Unknown(f"metrics of type {type_url}: {error}") from error
    for figure in figures:
        yield figure, figure.values(message)


def _field(path: str) -> Callable[[Any], Values]:
    """The value of one member, if the messages around it are there."""
    *around, last = path.split(".")

    def values(message: Any) -> Values:
        for name in around:
            if not message.HasField(name):
                return
            message = getattr(message, name)
        yield getattr(message, last), _NONE

    return values


def _entries(path: str, field: str, *labels: str, **renamed: str) -> Callable[[Any], Values]:
    """A value of each entry, told apart by *labels*; *renamed* are labels with the fields that they come from."""
    *around, last = path.split(".")
    sources = {label: label for label in labels} | renamed

    def values(message: Any) -> Values:
        for name in around:
            message = getattr(message, name)
        for entry in getattr(message, last):
            yield getattr(entry, field), {label: str(getattr(entry, source)) for label, source in sources.items()}

    return values


def _per_cpu(message: Any) -> Values:
    for number, value in enumerate(message.cpu.usage.per_cpu):
        yield value, {"cpu": str(number)}


# --- version 1


def _memory_1() -> Iterator[Figure]:
    named = {"pgpgin": "pg_pg_in", "pgpgout": "pg_pg_out", "pgfault": "pg_fault", "pgmajfault": "pg_maj_fault"}
    used = ("cache", "rss", "rss_huge", "mapped_file")
    plain = ("dirty", "writeback", *named, "inactive_anon", "active_anon", "inactive_file", "active_file")
    for prefix in ("", "total_"):
        for name in (*used, *plain, "unevictable"):
            help_ = f"The {prefix}{name} amount{' used' if name in used else ''}"
            yield Figure(f"memory_{prefix}{name}_bytes", help_, _field(f"memory.{prefix}{named.get(name, name)}"))
    for name, field in (("memory", "memory"), ("memsw", "swap")):
        figure = f"hierarchical_{name}_limit"
        yield Figure(f"memory_{figure}_bytes", f"The {figure} amount", _field(f"memory.hierarchical_{field}_limit"))
    for name, field in (("usage", "usage"), ("swap", "swap"), ("kernel", "kernel"), ("kerneltcp", "kernel_tcp")):
        what = "memory" if name == "usage" else name
        yield Figure(f"memory_{name}_failcnt_total", f"The {name} failcnt", _field(f"memory.{field}.failcnt"))
        yield Figure(f"memory_{name}_limit_bytes", f"The {what} limit", _field(f"memory.{field}.limit"))
        yield Figure(f"memory_{name}_max_bytes", f"The {what} maximum usage", _field(f"memory.{field}.max"))
        yield Figure(f"memory_{name}_usage_bytes", f"The {what} usage", _field(f"memory.{field}.usage"))


def _blkio_1() -> Iterator[Figure]:
    for name, unit in (
        ("io_merged_recursive", "total"),
        ("io_queued_recursive", "total"),
        ("io_service_bytes_recursive", "bytes"),
        ("io_service_time_recursive", "total"),
        ("io_serviced_recursive", "total"),
        ("io_time_recursive", "total"),
        ("sectors_recursive", "total"),
    ):
        values = _entries(f"blkio.{name}", "value", "op", "device", "major", "minor")
        yield Figure(f"blkio_{name}_{unit}", f"The blkio {name.replace('_', ' ')}", values)


_VERSION_1: Final = (
    Figure("cpu_total_nanoseconds", "The total cpu time", _field("cpu.usage.total")),
    Figure("cpu_kernel_nanoseconds", "The total kernel cpu time", _field("cpu.usage.kernel")),
    Figure("cpu_user_nanoseconds", "The total user cpu time", _field("cpu.usage.user")),
    Figure("per_cpu_nanoseconds", "The total cpu time per cpu", _per_cpu),
    Figure("cpu_throttle_periods_total", "The total cpu throttle periods", _field("cpu.throttling.periods")),
    Figure(
        "cpu_throttled_periods_total", "The total cpu throttled periods", _field("cpu.throttling.throttled_periods")
    ),
    Figure("cpu_throttled_time_nanoseconds", "The total cpu throttled time", _field("cpu.throttling.throttled_time")),
    *_memory_1(),
    Figure("pids_limit", "The limit to the number of pids allowed", _field("pids.limit")),
    Figure("pids_current", "The current number of pids", _field("pids.current")),
    *_blkio_1(),
    Figure("hugetlb_usage_bytes", "The hugetlb usage", _entries("hugetlb", "usage", page="pagesize")),
    Figure("hugetlb_failcnt_total", "The hugetlb failcnt", _entries("hugetlb", "failcnt", page="pagesize")),
    Figure("hugetlb_max_bytes", "The hugetlb maximum usage", _entries("hugetlb", "max", page="pagesize")),
)


# --- version 2


def _memory_2() -> Iterator[Figure]:
    for name, help_ in (
        ("usage", "Current memory usage (cgroup v2)"),
        ("usage_limit", "Current memory usage limit (cgroup v2)"),
        ("swap_usage", "Current swap usage (cgroup v2)"),
        ("swap_limit", "Current swap usage limit (cgroup v2)"),
    ):
        yield Figure(f"memory_{name}_bytes", help_, _field(f"memory.{name}"))
    for name in (
        *("file_mapped", "file_dirty", "file_writeback", "pgactivate", "pgdeactivate", "pgfault", "pgmajfault"),
        *("pglazyfree", "pgrefill", "pglazyfreed", "pgscan", "pgsteal", "inactive_anon", "active_anon"),
        *("inactive_file", "active_file", "unevictable", "anon", "file", "kernel_stack", "slab", "sock", "shmem"),
        *("anon_thp", "slab_reclaimable", "slab_unreclaimable", "workingset_refault", "workingset_activate"),
        *("workingset_nodereclaim", "thp_fault_alloc", "thp_collapse_alloc"),
    ):
        yield Figure(f"memory_{name}_bytes", f"The {name} amount", _field(f"memory.{name}"))
    oom = "The number of times a container has received an oom event"
    yield Figure("memory_oom_total", oom, _field("memory_events.oom"))


_IF_ENABLED: Final = "(only if controller is enabled)"
_VERSION_2: Final = (
    Figure("pids_limit", "The limit to the number of pids allowed (cgroup v2)", _field("pids.limit")),
    Figure("pids_current", "The current number of pids (cgroup v2)", _field("pids.current")),
    Figure("cpu_usage_usec_microseconds", "Total cpu usage (cgroup v2)", _field("cpu.usage_usec")),
    Figure("cpu_user_usec_microseconds", "Current cpu usage in user space (cgroup v2)", _field("cpu.user_usec")),
    Figure("cpu_system_usec_microseconds", "Current cpu usage in kernel space (cgroup v2)", _field("cpu.system_usec")),
    Figure("cpu_nr_periods_total", f"Current cpu number of periods {_IF_ENABLED}", _field("cpu.nr_periods")),
    Figure(
        "cpu_nr_throttled_total",
        f"Total number of times tasks have been throttled {_IF_ENABLED}",
        _field("cpu.nr_throttled"),
    ),
    Figure(
        "cpu_throttled_usec_microseconds",
        f"Total time duration for which tasks have been throttled. {_IF_ENABLED}",
        _field("cpu.throttled_usec"),
    ),
    *_memory_2(),
    Figure("io_rbytes_bytes", "IO bytes read", _entries("io.usage", "rbytes", "major", "minor")),
    Figure("io_wbytes_bytes", "IO bytes written", _entries("io.usage", "wbytes", "major", "minor")),
    Figure("io_rios_total", "Number of read IOs", _entries("io.usage", "rios", "major", "minor")),
    Figure("io_wios_total", "Number of write IOs", _entries("io.usage", "wios", "major", "minor")),
)

_KINDS: Final[Mapping[str, tuple[Any, tuple[Figure, ...]]]] = {
    v1_pb2.Metrics.DESCRIPTOR.full_name: (v1_pb2.Metrics, _VERSION_1),
    v2_pb2.Metrics.DESCRIPTOR.full_name: (v2_pb2.Metrics, _VERSION_2),
}
