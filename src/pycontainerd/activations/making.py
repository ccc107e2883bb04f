"""Making the mounts of a plan in a directory, and taking them away. Everything here blocks the calling thread."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Final

from pycontainerd import faults
from pycontainerd.activations.handlers import Handler
from pycontainerd.activations.model import Active, Plan, Step
from pycontainerd.activations.transformers import Transform, transformers
from pycontainerd.errors import Error, Unknown
from pycontainerd.mounts.model import Mount, Options
from pycontainerd.mounts.mounting import mount_one, unmount_all
from pycontainerd.quoting import quote

faults.declare("mounts.directory.made", "mounts.mounted", "mounts.unmounted", "mounts.directory.removed")

_MODE: Final = 0o700
_TYPE: Final = "-type"
_NUMBER: Final = re.compile(r"[0-9]+")


class Maker:
    """Makes mounts below *targets*. *roots* are where transformers may make files, besides there."""

    def __init__(
        self, targets: str, roots: Sequence[str], handlers: Mapping[str, Handler], now_ns: Callable[[], int]
    ) -> None:
        self.targets = targets
        self.handlers = handlers
        self.transformers: Mapping[str, Transform] = transformers((*roots, targets))
        self._now_ns = now_ns

    def make(self, number: int, plan: Plan) -> tuple[Sequence[Active], Sequence[Mount]]:
        """Makes the mounts of *plan* in the directory *number*: those, and the mounts left for the caller.

        If one fails, nothing is left. Raises what transformers raise, Unknown for a mount.
        """
        directory = self.path(number)
        os.mkdir(directory, _MODE)
        faults.reach("mounts.directory.made")
        mounted: list[Active] = []
        with ExitStack() as undo:
            undo.callback(self._undo, number)
            width = 3 if plan.count > 100 else 2 if plan.count > 10 else 1
            for index, step in enumerate(plan.steps[: plan.count]):
                name = f"{plan.count - index:0{width}d}"
                mounted.append(self._mount(step, os.path.join(directory, name), mounted))
            system = self._system(plan, mounted)
            undo.pop_all()
        return mounted, system

    def take_away(self, number: int) -> None:
        """Takes away what is mounted in the directory *number*, the last mount first, and the directory.

        Raises OSError for a mount that is busy; it and what is below it stay.
        """
        directory = self.path(number)
        for name in self._points(directory):
            point = os.path.join(directory, name)
            unmount_all(point)
            faults.reach("mounts.unmounted")
            os.rmdir(point)
            with suppress(FileNotFoundError):
                os.unlink(point + _TYPE)
        with suppress(FileNotFoundError):
            for name in os.listdir(directory):
                os.unlink(os.path.join(directory, name))
            os.rmdir(directory)
        faults.reach("mounts.directory.removed")

    def numbers(self) -> set[int]:
        """The directories that there are."""
        return {int(name) for name in os.listdir(self.targets) if _NUMBER.fullmatch(name)}

    def path(self, number: int) -> str:
        return os.path.join(self.targets, str(number))

    def _points(self, directory: str) -> Iterator[str]:
        with suppress(FileNotFoundError):
            yield from sorted(name for name in os.listdir(directory) if _NUMBER.fullmatch(name))

    def _undo(self, number: int) -> None:
        with suppress(OSError):  # the failure that led here is what the caller must hear of; the collector tries again
            self.take_away(number)

    def _mount(self, step: Step, point: str, mounted: Sequence[Active]) -> Active:
        mount = self._transformed(step, mounted)
        with open(point + _TYPE, "w", encoding="utf-8", opener=_private) as file:
            file.write(mount.type)
        os.mkdir(point, _MODE)
        handler = self.handlers.get(step.type)
        try:
            if handler is not None:
                handler.mount(mount, point)
            else:
                mount_one(mount, point)
        except (OSError, Error) as error:
            raise Unknown(_described(mount, point, error, handled=handler is not None)) from error
        faults.reach("mounts.mounted")
        return Active(mount, point, self._now_ns())

    def _transformed(self, step: Step, mounted: Sequence[Active]) -> Mount:
        mount = step.mount
        for name, type_ in step.transformers:
            made = self.transformers[name](mount, mounted)
            mount = Mount(type_, made.source, made.target, made.options)
        return mount

    def _system(self, plan: Plan, mounted: Sequence[Active]) -> Sequence[Mount]:
        left = [step.mount for step in plan.steps[plan.count :]]
        if left:
            left[0] = self._transformed(plan.steps[plan.count], mounted)
        if plan.temporary and mounted:
            left.append(Mount("bind", mounted[-1].point, options=("rbind",)))
        return left


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _described(mount: Mount, point: str, error: OSError | Error, *, handled: bool) -> str:
    """The failure as the original words it."""
    which = f"{{{mount.type} {mount.source} {mount.target} [{' '.join(mount.options)}]}}"
    words = error.wire_text() if isinstance(error, Error) else (error.strerror or str(error)).lower()
    if handled:
        return f"mount handler failed {which}: {words}"
    if isinstance(error, OSError):
        options = Options.parse(mount.options)
        target = os.path.join(point, mount.target.lstrip("/")) if mount.target else point
        words = (
            f"mount source: {quote(mount.source)}, target: {quote(target)}, fstype: {mount.type}, "
            f"flags: {options.flags}, data: {quote(','.join(options.data))}, err: {words}"
        )
    return f"mount failed {which}: {words}"
