"""The plugin of the shims: who starts and watches them."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from typing import Final

from pycontainerd.log import fields
from pycontainerd.plugin import sections, types
from pycontainerd.plugin.registration import Init, plugin
from pycontainerd.runtime import failures
from pycontainerd.runtime.background import Background
from pycontainerd.runtime.discovery import Discovery
from pycontainerd.runtime.executable import Surroundings
from pycontainerd.runtime.failures import Failures
from pycontainerd.runtime.manager import ShimManager, Timeouts
from pycontainerd.runtime.spawned import OurShims
from pycontainerd.spawner.aio import Spawner
from pycontainerd.spawner.messages import own_environment
from pycontainerd.version import version

_LOG: Final = logging.getLogger(__name__)

AGAIN_S: Final = 0.1
"""How long after the end of a spawner another is started, if nobody needs it before."""


@plugin(types.SHIM, "manager", requires=[types.EVENT, types.METADATA], config=sections.ShimManager)
async def manager(init: Init) -> ShimManager:
    config: sections.ShimManager = init.config
    own = own_directories()
    about = Surroundings(
        address=init.address,
        ttrpc_address=init.ttrpc_address,
        publish_binary=os.path.join(own[0], "containerd"),
        version=version(),
        debug=logging.getLogger().isEnabledFor(logging.DEBUG),
        socket_dir=config.socket_dir,
        environment=environment(config.env),
    )
    background = await init.stack.enter_async_context(Background())
    spawner: Spawner = init.spawner
    shims = ShimManager(
        about,
        discovery=Discovery(own, about.environment.get("PATH", os.defpath)),
        ours=OurShims(about, spawner),
        exchange=init.plugins.single(types.EVENT),
        spawn=background.spawn,
        clock=init.clock,
        timeouts=Timeouts.of(init.timeouts),
        failures=Failures(str(init.state.parent / failures.DIRECTORY)),
    )
    init.stack.push_async_callback(shims.close)

    async def warm() -> None:
        background.spawn(_keep(spawner), name="keep a warm spawner")

    init.after_serving.append(warm)
    return shims


def own_directories() -> tuple[str, ...]:
    """Where programs of this installation lie, the running one's first."""
    program = os.path.realpath(sys.argv[0])
    return tuple(dict.fromkeys([os.path.dirname(program), os.path.dirname(os.path.abspath(sys.executable))]))


def environment(extra: tuple[str, ...]) -> Mapping[str, str]:
    """The environment of shims: the daemon's, without what its supervisor means for it alone, and *extra*."""
    return own_environment() | {name: value for name, _, value in (variable.partition("=") for variable in extra)}


async def _keep(spawner: Spawner) -> None:
    """Has a spawner at all times, also when one was killed, so that no task has to wait until one is warm."""
    while True:
        try:
            await spawner.lost()
        except Exception as error:  # noqa: BLE001 - whoever needs it hears of it
            _LOG.warning("failed to start the spawner", extra=fields(error=error))
        await asyncio.sleep(AGAIN_S)
