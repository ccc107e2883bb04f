"""Walking over the bundles of a state directory after the daemon has started anew, and dialling their shims.

    what lies in the state directory            what becomes of it
    a name that begins with a dot               removed: it was being removed
    an empty directory                          removed
    its shim answers, or does not in time       its judge is asked: it may be slow
    its shim can't be dialled, but may live     dialled again and again; its judge is asked once that is settled
    its shim is dead                            its judge is asked

The work directories of ids that are not known afterwards are removed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable
from typing import Final, Protocol

from pycontainerd.errors import Error
from pycontainerd.log import fields
from pycontainerd.runtime.bundle import Bundle
from pycontainerd.runtime.connection import may_live
from pycontainerd.runtime.discovery import ShimBinary
from pycontainerd.runtime.manager import RETRY_S, ShimManager
from pycontainerd.runtime.shim import Shim

_LOG: Final = logging.getLogger(__name__)

AT_ONCE: Final = 16
"""Shims that are asked at the same time: more would only wait for the two or more cores that there are."""


class Judge(Protocol):
    """Who decides what becomes of what a walk finds."""

    async def alive(self, shim: Shim) -> None:
        """Keeps a shim that answers, or ends one that nobody needs."""

    async def dead(self, bundle: Bundle, binary: ShimBinary | None) -> None:
        """Removes what a dead shim has left."""


class Walk:
    """One walk over *state*, with the work directories in *root*."""

    def __init__(
        self, manager: ShimManager, state: str, root: str, runtime_of: Callable[[str, str], str], judge: Judge
    ) -> None:
        self._manager = manager
        self._state = state
        self._root = root
        self._runtime_of = runtime_of
        self._judge = judge
        self._dialled: set[tuple[str, str]] = set()
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Loads every bundle. One that can't be loaded is logged and left; the others are not held up by it."""
        bundles = await asyncio.to_thread(self._bundles)
        async with asyncio.TaskGroup() as group:
            for bundle in bundles:
                group.create_task(self._load_one(bundle), name=f"load {bundle.namespace}/{bundle.id}")
        loaded = {(shim.namespace, shim.id) for shim in self._manager.shims}
        await asyncio.to_thread(self._remove_work, loaded | self._dialled)

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
        try:
            async with self._gate:
                if not await self._settled(bundle):
                    self._dialled.add((bundle.namespace, bundle.id))
                    self._manager.beside(self._dial_again(bundle), f"dial shim {bundle.id}")
        except (Error, OSError) as error:
            _tell(logging.ERROR, "failed to load shim", bundle, error)

    async def _dial_again(self, bundle: Bundle) -> None:
        """Tries until the shim takes a connection or is known to be dead; its id is taken meanwhile."""
        with self._manager.shims.unreached(bundle.namespace, bundle.id):
            while True:
                await asyncio.sleep(RETRY_S)
                if await self._settled(bundle):
                    return

    async def _settled(self, bundle: Bundle) -> bool:
        """Whether what becomes of *bundle* could be decided: its shim was reached, or is dead."""
        binary = None if bundle.read_sandbox() else self._binary(bundle)
        # The daemon may have died before it could note where the shim serves.
        bootstrap = bundle.read_bootstrap() or self._manager.guess(bundle)
        try:
            shim = await self._manager.load(bundle, binary, bootstrap)
        except Error as error:
            if may_live(error):
                _tell(logging.WARNING, "shim takes no connection", bundle, error)
                return False
            _tell(logging.INFO, "cleaning up after a shim that died", bundle, error)
            await self._judge.dead(bundle, binary)
            return True
        await self._judge.alive(shim)
        return True

    def _binary(self, bundle: Bundle) -> ShimBinary:
        path = bundle.read_binary_path()
        try:
            if path:
                return self._manager.discovery.at(path)
            return self._manager.discovery.resolve(self._runtime_of(bundle.namespace, bundle.id))
        except Error:
            # It may be needed only to clean up, and says so then.
            return ShimBinary(path or "containerd-shim", ours=False)


def _tell(level: int, what: str, bundle: Bundle, error: Exception) -> None:
    _LOG.log(level, what, extra=fields(id=bundle.id, namespace=bundle.namespace, error=error))


def _directories(path: str) -> list[tuple[str, str]]:
    """Names and paths of the directories in *path*, nothing if it is missing."""
    try:
        with os.scandir(path) as entries:
            return [(entry.name, entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
