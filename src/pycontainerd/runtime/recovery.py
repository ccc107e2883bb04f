"""Finding the shims again after the daemon has started anew (design.md "Exits", runtime-shim.md §4).

    what lies in the state directory            what becomes of it
    a name that begins with a dot               removed: it was being removed
    an empty directory                          removed
    its shim answers, task not stopped          watched again, whether its container has a record or not
    its shim answers, task stopped              watched again if its container has a record; else deleted
    its shim answers, but knows no such task    the shim is ended, the bundle removed
    its shim does not answer in time            watched again: it may be slow, and a container is not killed for that
    its shim can't be dialled, but may live     left as it is, for the next daemon
    its shim is dead                            removed by the shim's `delete`; clients hear of it

Exits of which nobody can say that clients were told are told once, when clients can listen.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from pycontainerd.errors import DeadlineExceeded, Error, NotFound
from pycontainerd.log import fields
from pycontainerd.runtime.bundle import Bundle
from pycontainerd.runtime.connection import may_live
from pycontainerd.runtime.discovery import ShimBinary
from pycontainerd.runtime.manager import ShimManager
from pycontainerd.runtime.model import Exit, State, Status
from pycontainerd.runtime.shim import Shim
from pycontainerd.runtime.told import keep_told
from pycontainerd.shim import exit_record

_LOG: Final = logging.getLogger(__name__)

AT_ONCE: Final = 16
"""Shims that are asked at the same time: more would only wait for the two or more cores that there are."""


class Untold(Struct, frozen=True):
    """An exit that clients may not have heard of. *gone* says that its task was removed as well."""

    bundle: Bundle
    id: str
    exit: Exit
    gone: bool = False


class Recovery:
    """One walk over the bundles of a state directory; then `tell` for what it found."""

    def __init__(
        self,
        manager: ShimManager,
        state: str,
        root: str,
        has_container: Callable[[str, str], bool],
        runtime_of: Callable[[str, str], str],
    ) -> None:
        self._manager = manager
        self._state = state
        self._root = root
        self._has_container = has_container
        self._runtime_of = runtime_of
        self._untold: list[Untold] = []
        self._left: set[tuple[str, str]] = set()
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Loads every bundle. One that can't be loaded is logged and left; the others are not held up by it."""
        bundles = await asyncio.to_thread(self._bundles)
        async with asyncio.TaskGroup() as group:
            for bundle in bundles:
                group.create_task(self._load_one(bundle), name=f"load {bundle.namespace}/{bundle.id}")
        loaded = {(shim.namespace, shim.id) for shim in self._manager.shims}
        await asyncio.to_thread(self._remove_work, loaded | self._left)

    def tell(self) -> None:
        """Publishes the exits that clients may not have heard of, and keeps that they were told."""
        untold, self._untold = self._untold, []
        for it in sorted(untold, key=lambda it: it.exit.exited_at_ns):
            namespace, container = it.bundle.namespace, it.bundle.id
            if it.gone:
                self._manager.tell_gone(namespace, container, it.exit)
                continue
            self._manager.tell_exit(namespace, container, it.id, it.exit)
            keep_told(it.bundle, it.id, it.exit)

    def _bundles(self) -> list[Bundle]:
        """The bundles that are there; what is garbage for certain is removed on the way."""
        found = []
        for namespace, path in _directories(self._state):
            for id_, bundle in _directories(path):
                if id_.startswith("."):
                    shutil.rmtree(bundle, ignore_errors=True)
                elif not os.listdir(bundle):
                    os.rmdir(bundle)
                else:
                    found.append(Bundle(namespace, id_, bundle, os.path.join(self._root, namespace, id_)))
        return found

    def _remove_work(self, kept: set[tuple[str, str]]) -> None:
        for namespace, path in _directories(self._root):
            for id_, work in _directories(path):
                if (namespace, id_) not in kept:
                    shutil.rmtree(work, ignore_errors=True)

    async def _load_one(self, bundle: Bundle) -> None:
        async with self._gate:
            try:
                await self._load(bundle)
            except (Error, OSError) as error:
                about = fields(id=bundle.id, namespace=bundle.namespace, error=error)
                _LOG.error("failed to load task", extra=about)

    async def _load(self, bundle: Bundle) -> None:
        binary = self._binary(bundle)
        # The daemon may have died before it could note where the shim serves.
        bootstrap = bundle.read_bootstrap() or self._manager.guess(bundle)
        try:
            shim = await self._manager.load(bundle, binary, bootstrap)
        except Error as error:
            if may_live(error):
                self._left.add((bundle.namespace, bundle.id))
                raise
            about = fields(id=bundle.id, namespace=bundle.namespace, error=error)
            _LOG.info("cleaning up after a shim that died", extra=about)
            await self._bury(bundle, binary)
            return
        await self._judge(shim)

    async def _judge(self, shim: Shim) -> None:
        """Keeps a shim that answers, or ends one that nobody needs."""
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
        self._untold += _untold(shim, state)

    async def _bury(self, bundle: Bundle, binary: ShimBinary) -> None:
        has_container = self._has_container(bundle.namespace, bundle.id)
        had_task = bundle.had_task() or bool(exit_record.read(bundle.path))
        exit_ = await self._manager.clean_up(bundle, binary)
        if has_container and had_task:
            self._untold.append(Untold(bundle, bundle.id, exit_, gone=True))

    def _binary(self, bundle: Bundle) -> ShimBinary:
        path = bundle.read_binary_path()
        try:
            if path:
                return self._manager.discovery.at(path)
            return self._manager.discovery.resolve(self._runtime_of(bundle.namespace, bundle.id))
        except Error:
            # It may be needed only to clean up, and says so then.
            return ShimBinary(path or "containerd-shim", ours=False)


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


def _directories(path: str) -> list[tuple[str, str]]:
    """Names and paths of the directories in *path*, nothing if it is missing."""
    try:
        with os.scandir(path) as entries:
            return [(entry.name, entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
