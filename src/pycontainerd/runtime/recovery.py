"""What becomes of tasks after the daemon has started anew (design.md "Exits", runtime-shim.md §4); see `walk`.

    its shim                                    what becomes of the task
    answers, task not stopped                   watched again, whether its container has a record or not
    answers, task stopped                       watched again if its container has a record; else deleted
    answers, but knows no such task             the shim is ended, the bundle removed
    does not answer in time                     watched again: a container is not killed for that
    is dead                                     removed by the shim's `delete`; clients hear of it

Exits of which nobody can say that clients were told are told once, when clients can listen.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from pycontainerd.errors import DeadlineExceeded, NotFound
from pycontainerd.log import fields
from pycontainerd.runtime.bundle import Bundle
from pycontainerd.runtime.discovery import ShimBinary
from pycontainerd.runtime.manager import ShimManager
from pycontainerd.runtime.model import Exit, State, Status
from pycontainerd.runtime.shim import Shim
from pycontainerd.runtime.told import keep_told
from pycontainerd.runtime.walk import Walk
from pycontainerd.shim import exit_record

_LOG: Final = logging.getLogger(__name__)


class Untold(Struct, frozen=True):
    """An exit that clients may not have heard of. *gone* says that its task was removed as well."""

    bundle: Bundle
    id: str
    exit: Exit
    gone: bool = False


class Recovery:
    """One walk over the bundles of tasks; then `tell` for what it found."""

    def __init__(
        self,
        manager: ShimManager,
        state: str,
        root: str,
        has_container: Callable[[str, str], bool],
        runtime_of: Callable[[str, str], str],
    ) -> None:
        self._manager = manager
        self._walk = Walk(manager, state, root, runtime_of, self)
        self._has_container = has_container
        self._untold: list[Untold] = []
        self._listened_to = False

    async def run(self) -> None:
        """Finds the tasks again. Shims that take no connection are found later."""
        await self._walk.run()

    def tell(self) -> None:
        """Publishes the exits that clients may not have heard of, those that are found later as well."""
        self._listened_to = True
        untold, self._untold = self._untold, []
        for it in sorted(untold, key=lambda it: it.exit.exited_at_ns):
            namespace, container = it.bundle.namespace, it.bundle.id
            if it.gone:
                self._manager.tell_gone(namespace, container, it.exit)
                continue
            self._manager.tell_exit(namespace, container, it.id, it.exit)
            keep_told(it.bundle, it.id, it.exit)

    async def alive(self, shim: Shim) -> None:
        timeout_s = self._manager.timeouts.load_s
        try:
            state = await shim.api.state(shim.id, "", timeout_s=timeout_s)
        except NotFound:
            await self._manager.remove(shim, force=True)
            return
        except DeadlineExceeded:
            _LOG.warning("shim is slow to answer", extra=fields(id=shim.id, namespace=shim.namespace))
            self._manager.keep(shim)
            return
        if state.status == Status.STOPPED and not self._has_container(shim.namespace, shim.id):
            _LOG.info("cleaning up a stopped task without a container", extra=fields(id=shim.id))
            exit_ = await shim.api.delete(shim.id, "", timeout_s=self._manager.timeouts.cleanup_s)
            await self._manager.remove(shim, force=False)
            self._manager.tell_deleted(shim.namespace, shim.id, exit_)
            return
        self._manager.keep(shim)
        self._found(_untold(shim, state))

    async def dead(self, bundle: Bundle, binary: ShimBinary | None) -> None:
        has_container = self._has_container(bundle.namespace, bundle.id)
        had_task = bundle.had_task() or bool(exit_record.read(bundle.path))
        exit_ = await self._manager.clean_up(bundle, binary)
        if has_container and had_task:
            self._found([Untold(bundle, bundle.id, exit_, gone=True)])

    def _found(self, untold: Iterable[Untold]) -> None:
        self._untold += untold
        if self._listened_to:
            self.tell()


def _untold(shim: Shim, state: State) -> list[Untold]:
    records = exit_record.read(shim.bundle.path)
    untold = [
        Untold(shim.bundle, record.id, Exit(record.pid, record.status, record.at_ns))
        for record in records.values()
        if not record.delivered
    ]
    if state.status == Status.STOPPED and shim.id not in records:
        untold.append(Untold(shim.bundle, shim.id, Exit(state.pid, state.exit_status, state.exited_at_ns)))
    return untold
