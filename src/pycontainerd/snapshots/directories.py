"""The numbered directories of a built-in snapshotter.

    snapshots/
        <number>/       whole, and named by a row, or on its way to one
        new-…/          being made
        rm-…/           being removed

One that has no row when `sweep` looks, and is not on its way, is what a removal or a crash left.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from pycontainerd import faults
from pycontainerd.disk import sync_directory, translated
from pycontainerd.snapshots import trees
from pycontainerd.snapshots.tree_work import Trees
from pycontainerd.threads import Threads

faults.declare(
    "snapshots.directory.made", "snapshots.directory.named", "snapshots.remove.hidden", "snapshots.remove.deleted"
)

_MODE: Final = 0o700


class Making:
    """A directory on its way to a row. `keep` says that the row is there: whatever fails then, it stays."""

    __slots__ = ("kept",)

    def __init__(self) -> None:
        self.kept = False

    def keep(self) -> None:
        self.kept = True


class Directories:
    """The directories below *root*, which is made when it is missing."""

    def __init__(self, root: Path, threads: Threads, trees: Trees) -> None:
        self.root = root
        self._parent = os.path.join(root, "snapshots")
        self._threads = threads
        self._trees = trees
        self._busy: set[str] = set()
        self._knows_litter = False
        self.forgotten: set[int] = set()
        """The numbers of directories whose rows went: for the next `sweep`."""
        root.mkdir(mode=_MODE, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.mkdir(self._parent, _MODE)

    def path(self, number: int, *parts: str) -> str:
        return os.path.join(self._parent, str(number), *parts)

    def highest(self) -> int:
        """The largest number that a directory has; 0 if there is none."""
        return max((int(name) for name in os.listdir(self._parent) if name.isascii() and name.isdecimal()), default=0)

    @asynccontextmanager
    async def making(
        self, number: int, fill: Callable[[str], None], *, source: str | None = None
    ) -> AsyncIterator[Making]:
        """Makes the directory *number*: a copy of *source*, or what *fill* makes in a thread, under another name.

        In the block its row is to be recorded, and `keep` to be called when that is durable; if the block fails before,
        the directory goes again.
        """
        names = {str(number), f"new-{number}"}
        self._busy |= names
        try:
            with translated(f"create snapshot directory {self.path(number)}"):
                if source is not None:
                    await self._copy(number, source)
                else:
                    await self._threads.run(self._make, number, fill)
            made = Making()
            try:
                yield made
            except BaseException:
                if not made.kept:
                    await self._trees.remove(self.path(number))
                raise
        except BaseException:
            self._knows_litter = False  # something of it may lie there
            raise
        finally:
            self._busy -= names

    async def _copy(self, number: int, source: str) -> None:
        temporary = self._temporary(number)
        await self._trees.remove(temporary)  # of a crash
        try:
            await self._trees.copy(source, temporary)
            await self._threads.run(self._name, number, temporary)
        except BaseException:
            await self._trees.remove(temporary)
            raise

    def _make(self, number: int, fill: Callable[[str], None]) -> None:
        temporary = self._temporary(number)
        trees.remove(temporary)  # of a crash
        try:
            fill(temporary)
            self._name(number, temporary)
        except BaseException:
            trees.remove(temporary)
            raise

    def _temporary(self, number: int) -> str:
        return os.path.join(self._parent, f"new-{number}")

    def _name(self, number: int, temporary: str) -> None:
        faults.reach("snapshots.directory.made")
        os.rename(temporary, self.path(number))
        try:
            sync_directory(self._parent)
            faults.reach("snapshots.directory.named")
        except BaseException:
            trees.remove(self.path(number))
            raise

    async def remove(self, number: int) -> None:
        """Removes the directory *number*, out of sight first."""
        names = {str(number), f"rm-{number}"}
        self._busy |= names
        try:
            with translated(f"remove snapshot directory {self.path(number)}"):
                hidden = await self._threads.run(self._hide, number)
                await self._trees.remove(hidden)
                faults.reach("snapshots.remove.deleted")
        except BaseException:
            self._knows_litter = False
            raise
        finally:
            self._busy -= names

    def _hide(self, number: int) -> str:
        hidden = os.path.join(self._parent, f"rm-{number}")
        with suppress(FileNotFoundError):
            os.rename(self.path(number), hidden)
        faults.reach("snapshots.remove.hidden")
        return hidden

    async def sweep(self, numbers: Callable[[], Awaitable[set[int]]]) -> None:
        """Removes all but the directories in *numbers*, which is asked after the disk was read.

        Once that was done, and as long as nothing fails, only what is *forgotten* can have become litter.
        """
        if self._knows_litter:
            await self._sweep_forgotten()
            return
        self.forgotten.clear()
        self._knows_litter = True  # before: what fails meanwhile says otherwise
        try:
            await self._sweep_all(numbers)
        except BaseException:
            self._knows_litter = False
            raise

    async def _sweep_forgotten(self) -> None:
        while self.forgotten:
            await self.remove(self.forgotten.pop())

    async def _sweep_all(self, numbers: Callable[[], Awaitable[set[int]]]) -> None:
        names = await self._threads.run(os.listdir, self._parent)
        busy = set(self._busy)
        known = {str(number) for number in await numbers()}
        for name in names:
            if name in known or name in busy or name in self._busy or not _is_ours(name):
                continue
            with translated(f"remove snapshot directory {os.path.join(self._parent, name)}"):
                await self._trees.remove(os.path.join(self._parent, name))


def make_exactly(directory: str, mode: int) -> None:
    """Makes a directory of *mode*, whatever the umask says."""
    os.mkdir(directory, mode)
    if stat.S_IMODE(os.lstat(directory).st_mode) != mode:
        os.chmod(directory, mode)


def _is_ours(name: str) -> bool:
    return (name.isascii() and name.isdecimal()) or name.startswith(("new-", "rm-"))
