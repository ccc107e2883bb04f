"""What was tried for tasks that are gone because something failed: kept after their bundles, for who asks why.

    <state>/pycontainerd.failures/<namespace>:<id>    the `steps.jsonl` of the last task of that id which failed

At most `LIMIT` of them, the oldest goes first. Nothing is synced: like the bundles, they do not outlive a boot.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Final

from pycontainerd.runtime.bundle import Bundle
from pycontainerd.shim import steps
from pycontainerd.shim.steps import Step

DIRECTORY: Final = "pycontainerd.failures"
LIMIT: Final = 100


class Failures:
    """The failures in *directory*. Nothing here ever fails: what can't be kept is not kept."""

    def __init__(self, directory: str, *, limit: int = LIMIT) -> None:
        self._directory = directory
        self._limit = limit

    def path(self, namespace: str, id_: str) -> str:
        """Where the failure of a task is, if it is kept. Both names are identifiers, which have no colon."""
        return os.path.join(self._directory, f"{namespace}:{id_}")

    def keep(self, bundle: Bundle) -> None:
        """Takes the steps out of a bundle that is about to be removed, if one of them has failed."""
        path = bundle.file(steps.NAME)
        if not steps.failed(steps.read(path)):
            return
        with contextlib.suppress(OSError):
            os.makedirs(self._directory, 0o700, exist_ok=True)
            os.replace(path, self.path(bundle.namespace, bundle.id))
            self._forget_old()

    def note(self, namespace: str, id_: str, tried: Sequence[Step]) -> None:
        """Keeps what was tried for a task that has got no bundle."""
        with contextlib.suppress(OSError):
            os.makedirs(self._directory, 0o700, exist_ok=True)
            steps.write(self.path(namespace, id_), tried)
            self._forget_old()

    def _forget_old(self) -> None:
        with os.scandir(self._directory) as entries:
            kept = sorted((entry.stat().st_mtime_ns, entry.path) for entry in entries)
        for _, path in kept[: max(len(kept) - self._limit, 0)]:
            os.unlink(path)
