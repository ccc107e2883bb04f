"""What the debug and metrics endpoints tell of the daemon's process."""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any, Final

from pycontainerd.daemon.watchdog import LoopWatchdog
from pycontainerd.measures import Metric, Sample
from pycontainerd.plugin.registration import Plugins
from pycontainerd.servers.http import Answer
from pycontainerd.version import revision, version

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def variables(watchdog: LoopWatchdog) -> Answer:
    """`/debug/vars`: the command line, memory, and how late the loop was."""
    told = {
        "cmdline": sys.orig_argv,
        "loop_delay_seconds": {
            "p50": watchdog.quantile(0.5),
            "p99": watchdog.quantile(0.99),
            "max": watchdog.worst_s,
            "samples": sum(watchdog.counts),
        },
        "memory_bytes": memory(),
    }
    return Answer(json.dumps(told, indent=1) + "\n", "application/json; charset=utf-8")


def memory() -> dict[str, int]:
    """Bytes of this process; see statm in proc(5)."""
    with open("/proc/self/statm") as file:
        size, resident, shared, *_ = file.read().split()
    return {"virtual": int(size) * _PAGE, "resident": int(resident) * _PAGE, "shared": int(shared) * _PAGE}


async def metrics(plugins: Plugins) -> AsyncIterator[Metric]:
    """What `/v1/metrics` tells: of the build, and what plugins count by a method `measures`; see `measures`."""
    build = Sample(1, {"revision": revision(), "version": version()})
    yield Metric("containerd_build_info_total", "counter", "containerd build information", (build,))
    for started in plugins.started():
        measures: Any = getattr(started.instance, "measures", None)
        if callable(measures):
            answer = measures()
            for metric in await answer if inspect.isawaitable(answer) else answer:
                yield metric
