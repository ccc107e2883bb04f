"""The plugin of the restart monitor."""

from __future__ import annotations

from typing import Final

from pycontainerd.plugin import sections, types
from pycontainerd.plugin.registration import Init, plugin
from pycontainerd.restarts import policy
from pycontainerd.restarts.monitor import Monitor

_NS: Final = 1_000_000_000
DEFAULT_S: Final = 10.0


@plugin(types.MONITOR_CONTAINER, "restart", requires=[types.EVENT, types.SERVICE], config=sections.Restart)
async def restart(init: Init) -> Monitor:
    config: sections.Restart = init.config
    init.capabilities.extend(policy.NAMES)
    service = init.plugins.by_id
    monitor = Monitor(
        service(types.SERVICE, "namespaces-service"),
        service(types.SERVICE, "containers-service"),
        service(types.SERVICE, "snapshots-service"),
        service(types.SERVICE, "tasks-service"),
        events=init.plugins.single(types.EVENT),
        clock=init.clock,
        interval_s=config.interval / _NS if config.interval > 0 else DEFAULT_S,
    )
    init.spawn(monitor.run(), name="restart monitor")
    return monitor
