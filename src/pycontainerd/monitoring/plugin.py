"""The plugin of the task monitor."""

from __future__ import annotations

from pycontainerd.monitoring.monitor import CgroupMonitor
from pycontainerd.oci import platforms
from pycontainerd.plugin import sections, types
from pycontainerd.plugin.registration import Init, plugin


@plugin(types.MONITOR_TASK, "cgroups", requires=[types.EVENT], config=sections.Cgroups)
async def cgroups(init: Init) -> CgroupMonitor:
    config: sections.Cgroups = init.config
    init.platforms.append(platforms.format_platform(platforms.host()))
    return CgroupMonitor(silent=config.no_prometheus)
