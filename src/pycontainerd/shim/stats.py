"""What a container uses, read from its control group, as the metrics messages of versions 1 and 2 have it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.message import Message

from pycontainerd.api.io.containerd.cgroups import v1_pb2, v2_pb2
from pycontainerd.errors import NotFound
from pycontainerd.system.cgroup import Cgroup, flat_keyed

UNLIMITED: Final = 0xFFFFFFFFFFFFFFFF
_TICKS_NS: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def read(cgroup: Cgroup | None) -> Message:
    """The metrics of a control group. Raises NotFound if there is none."""
    if cgroup is None or not cgroup.exists():
        raise NotFound("cgroup does not exist")
    return _version_2(cgroup) if cgroup.unified else _version_1(cgroup)


def _number(cgroup: Cgroup, controller: str, file: str) -> int:
    return _parse((cgroup.read(controller, file) or "").strip())


def _parse(text: str) -> int:
    if text == "max":
        return UNLIMITED
    return int(text) if text.isdigit() else 0


def _set(message: Any, values: dict[str, int], names: dict[str, str]) -> None:
    """Sets the fields of *message* from keys of a file; what is 0 stays unset, which is the same on the wire."""
    for field, key in names.items():
        if value := values.get(key, 0):
            setattr(message, field, value)


# --- version 1

_MEMORY_1: Final = {
    field: key
    for plain, key in {
        "cache": "cache",
        "rss": "rss",
        "rss_huge": "rss_huge",
        "mapped_file": "mapped_file",
        "dirty": "dirty",
        "writeback": "writeback",
        "pg_pg_in": "pgpgin",
        "pg_pg_out": "pgpgout",
        "pg_fault": "pgfault",
        "pg_maj_fault": "pgmajfault",
        "inactive_anon": "inactive_anon",
        "active_anon": "active_anon",
        "inactive_file": "inactive_file",
        "active_file": "active_file",
        "unevictable": "unevictable",
    }.items()
    for field, key in ((plain, key), (f"total_{plain}", f"total_{key}"))
} | {
    "hierarchical_memory_limit": "hierarchical_memory_limit",
    "hierarchical_swap_limit": "hierarchical_memsw_limit",
}

_USAGE_1: Final = {"usage": "", "swap": "memsw.", "kernel": "kmem.", "kernel_tcp": "kmem.tcp."}

_BLKIO_1: Final = {
    "io_service_bytes_recursive": ("throttle.io_service_bytes_recursive", "throttle.io_service_bytes"),
    "io_serviced_recursive": ("throttle.io_serviced_recursive", "throttle.io_serviced"),
    "io_queued_recursive": ("io_queued_recursive",),
    "io_service_time_recursive": ("io_service_time_recursive",),
    "io_wait_time_recursive": ("io_wait_time_recursive",),
    "io_merged_recursive": ("io_merged_recursive",),
    "io_time_recursive": ("time_recursive",),
    "sectors_recursive": ("sectors_recursive",),
}


def _version_1(cgroup: Cgroup) -> v1_pb2.Metrics:
    metrics = v1_pb2.Metrics()
    if cgroup.read("pids", "pids.current") is not None:
        metrics.pids.current = _number(cgroup, "pids", "pids.current")
        limit = _number(cgroup, "pids", "pids.max")
        metrics.pids.limit = 0 if limit == UNLIMITED else limit
    _cpu_1(cgroup, metrics)
    _memory_1(cgroup, metrics)
    _blkio_1(cgroup, metrics)
    for size, usage, most, failed in _hugetlb(cgroup, ("usage_in_bytes", "max_usage_in_bytes", "failcnt")):
        metrics.hugetlb.add(pagesize=size, usage=usage, max=most, failcnt=failed)
    return metrics


def _cpu_1(cgroup: Cgroup, metrics: v1_pb2.Metrics) -> None:
    if cgroup.read("cpuacct", "cpuacct.usage") is not None:
        usage = metrics.cpu.usage
        usage.total = _number(cgroup, "cpuacct", "cpuacct.usage")
        ticks = flat_keyed(cgroup.read("cpuacct", "cpuacct.stat") or "")
        usage.user = ticks.get("user", 0) * _TICKS_NS
        usage.kernel = ticks.get("system", 0) * _TICKS_NS
        usage.per_cpu.extend(map(int, (cgroup.read("cpuacct", "cpuacct.usage_percpu") or "").split()))
    text = cgroup.read("cpu", "cpu.stat")
    if text is not None:
        names = {"periods": "nr_periods", "throttled_periods": "nr_throttled", "throttled_time": "throttled_time"}
        metrics.cpu.throttling.SetInParent()
        _set(metrics.cpu.throttling, flat_keyed(text), names)


def _memory_1(cgroup: Cgroup, metrics: v1_pb2.Metrics) -> None:
    text = cgroup.read("memory", "memory.stat")
    if text is None:
        return
    _set(metrics.memory, flat_keyed(text), _MEMORY_1)
    for field, prefix in _USAGE_1.items():
        if cgroup.read("memory", f"memory.{prefix}usage_in_bytes") is None:
            continue
        entry = getattr(metrics.memory, field)
        entry.SetInParent()
        entry.usage = _number(cgroup, "memory", f"memory.{prefix}usage_in_bytes")
        entry.max = _number(cgroup, "memory", f"memory.{prefix}max_usage_in_bytes")
        entry.failcnt = _number(cgroup, "memory", f"memory.{prefix}failcnt")
        entry.limit = _number(cgroup, "memory", f"memory.{prefix}limit_in_bytes")
    control = cgroup.read("memory", "memory.oom_control")
    if control is not None:
        metrics.memory_oom_control.SetInParent()
        names = {"oom_kill_disable": "oom_kill_disable", "under_oom": "under_oom", "oom_kill": "oom_kill"}
        _set(metrics.memory_oom_control, flat_keyed(control), names)


def _blkio_1(cgroup: Cgroup, metrics: v1_pb2.Metrics) -> None:
    if cgroup.directory("blkio") is None:
        return
    metrics.blkio.SetInParent()
    for field, files in _BLKIO_1.items():
        text = next((text for file in files if (text := cgroup.read("blkio", f"blkio.{file}"))), "")
        entries = getattr(metrics.blkio, field)
        for device, operation, value in _blkio_lines(text):
            major, minor = device.split(":")
            entries.add(op=operation, major=int(major), minor=int(minor), value=value)


def _blkio_lines(text: str) -> Iterator[tuple[str, str, int]]:
    for line in text.splitlines():
        parts = line.split()
        if len(parts) == 3 and ":" in parts[0]:
            yield parts[0], parts[1], int(parts[2])
        elif len(parts) == 2 and ":" in parts[0]:
            yield parts[0], "", int(parts[1])


def _hugetlb(cgroup: Cgroup, files: tuple[str, ...]) -> Iterator[tuple[str, int, int, int]]:
    directory = cgroup.directory("hugetlb")
    if directory is None or not os.path.isdir(directory):
        return
    sizes = {name.split(".")[1] for name in os.listdir(directory) if name.startswith("hugetlb.")}
    for size in sorted(sizes):
        if "rsvd" in size:
            continue
        values = [_number(cgroup, "hugetlb", f"hugetlb.{size}.{file}") for file in files]
        yield size, values[0], values[1], values[2]


# --- version 2

_CPU_2: Final = {
    "usage_usec": "usage_usec",
    "user_usec": "user_usec",
    "system_usec": "system_usec",
    "nr_periods": "nr_periods",
    "nr_throttled": "nr_throttled",
    "throttled_usec": "throttled_usec",
    "nr_bursts": "nr_bursts",
    "burst_usec": "burst_usec",
}
_SAME_2: Final = """
    anon file kernel_stack slab sock shmem file_mapped file_dirty file_writeback anon_thp inactive_anon active_anon
    inactive_file active_file unevictable slab_reclaimable slab_unreclaimable pgfault pgmajfault pgrefill pgscan
    pgsteal pgactivate pgdeactivate pglazyfree pglazyfreed thp_fault_alloc thp_collapse_alloc
"""
_MEMORY_2: Final = {name: name for name in _SAME_2.split()} | {
    "workingset_refault": "workingset_refault_file",
    "workingset_activate": "workingset_activate_file",
    "workingset_nodereclaim": "workingset_nodereclaim",
}
_EVENTS_2: Final = {name: name for name in ("low", "high", "max", "oom", "oom_kill", "oom_group_kill")}
_IO_2: Final = {name: name for name in ("rbytes", "wbytes", "rios", "wios")}


def _version_2(cgroup: Cgroup) -> v2_pb2.Metrics:
    metrics = v2_pb2.Metrics()
    if cgroup.read("", "pids.current") is not None:
        metrics.pids.current = _number(cgroup, "", "pids.current")
        metrics.pids.limit = _number(cgroup, "", "pids.max")
    _set(metrics.cpu, flat_keyed(cgroup.read("", "cpu.stat") or ""), _CPU_2)
    _psi_2(cgroup, "cpu", metrics.cpu)
    _memory_2(cgroup, metrics)
    for line in (cgroup.read("", "io.stat") or "").splitlines():
        device, *pairs = line.split()
        major, _, minor = device.partition(":")
        values = {key: _parse(value) for key, _, value in (pair.partition("=") for pair in pairs)}
        entry = metrics.io.usage.add(major=int(major), minor=int(minor))
        _set(entry, values, _IO_2)
    _psi_2(cgroup, "io", metrics.io)
    _rdma_2(cgroup, metrics)
    for size, current, most, _ in _hugetlb(cgroup, ("current", "max", "max")):
        events = flat_keyed(cgroup.read("", f"hugetlb.{size}.events") or "")
        metrics.hugetlb.add(pagesize=size, current=current, max=most, failcnt=events.get("max", 0))
    return metrics


def _memory_2(cgroup: Cgroup, metrics: v2_pb2.Metrics) -> None:
    text = cgroup.read("", "memory.stat")
    if text is not None:
        memory = metrics.memory
        _set(memory, flat_keyed(text), _MEMORY_2)
        memory.usage = _number(cgroup, "", "memory.current")
        memory.usage_limit = _number(cgroup, "", "memory.max")
        memory.max_usage = _number(cgroup, "", "memory.peak")
        memory.swap_usage = _number(cgroup, "", "memory.swap.current")
        memory.swap_limit = _number(cgroup, "", "memory.swap.max")
        memory.swap_max_usage = _number(cgroup, "", "memory.swap.peak")
        _psi_2(cgroup, "memory", memory)
    events = cgroup.read("", "memory.events")
    if events is not None:
        metrics.memory_events.SetInParent()
        _set(metrics.memory_events, flat_keyed(events), _EVENTS_2)


def _psi_2(cgroup: Cgroup, kind: str, message: Any) -> None:
    for line in (cgroup.read("", f"{kind}.pressure") or "").splitlines():
        share, *pairs = line.split()
        values = dict(pair.split("=", 1) for pair in pairs)
        data = getattr(message.psi, share)
        data.avg10, data.avg60, data.avg300 = (float(values.get(f"avg{n}", 0)) for n in (10, 60, 300))
        data.total = int(values.get("total", 0))


def _rdma_2(cgroup: Cgroup, metrics: v2_pb2.Metrics) -> None:
    for file, field in (("rdma.current", "current"), ("rdma.max", "limit")):
        for line in (cgroup.read("", file) or "").splitlines():
            device, *pairs = line.split()
            values = {key: _parse(value) for key, _, value in (pair.partition("=") for pair in pairs)}
            getattr(metrics.rdma, field).add(
                device=device,
                hca_handles=min(values.get("hca_handle", 0), 0xFFFFFFFF),
                hca_objects=min(values.get("hca_object", 0), 0xFFFFFFFF),
            )
