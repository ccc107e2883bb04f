"""What becomes of the sandboxes of the controller `shim` after the daemon has started anew; see `runtime.walk`.

its shim                                        what becomes of the sandbox
answers; it has a record, or tasks              watched again
answers, with neither                           ended: who wanted it has died before it was recorded
is dead                                         removed by the shim's `delete`; nobody is told, as by the original
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from pycontainerd.errors import DeadlineExceeded, Error
from pycontainerd.log import fields
from pycontainerd.runtime.bundle import Bundle
from pycontainerd.runtime.discovery import ShimBinary
from pycontainerd.runtime.manager import ShimManager
from pycontainerd.runtime.shim import Shim

_LOG: Final = logging.getLogger(__name__)


class SandboxJudge:
    """Decides by the records of sandboxes."""

    def __init__(self, manager: ShimManager, has_record: Callable[[str, str], bool]) -> None:
        self._manager = manager
        self._has_record = has_record

    async def alive(self, shim: Shim) -> None:
        if self._has_record(shim.namespace, shim.id) or await self._has_task(shim):
            self._manager.keep(shim)
            return
        _LOG.info("ending a sandbox without a record", extra=fields(id=shim.id, namespace=shim.namespace))
        await self._manager.remove(shim, force=True)

    async def dead(self, bundle: Bundle, binary: ShimBinary | None) -> None:
        await self._manager.clean_up(bundle, binary)

    async def _has_task(self, shim: Shim) -> bool:
        try:
            return bool(await shim.api.pids(shim.id, timeout_s=self._manager.timeouts.load_s))
        except DeadlineExceeded:
            return True  # it is slow: nothing is known
        except Error:
            return False
