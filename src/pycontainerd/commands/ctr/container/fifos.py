"""The fifos between a client and a shim: where they lie, and that they go."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

DIRECTORY = "/run/containerd/fifo"


def make_fifos(parent: str, names: Iterable[str]) -> list[str]:
    """Makes fifos *names* in a new directory below *parent*, or below the usual one. Returns their paths."""
    parent = parent or DIRECTORY
    os.makedirs(parent, 0o700, exist_ok=True)
    directory = os.path.join(parent, os.urandom(8).hex())
    os.mkdir(directory, 0o700)
    paths = [os.path.join(directory, name) for name in names]
    for path in paths:
        os.mkfifo(path, 0o700)
    return paths


def remove_fifos(*paths: str) -> None:
    """Removes those of *paths* that are fifos, and the directories that they leave empty."""
    for path in paths:
        if is_fifo(path):
            with suppress(OSError):
                os.unlink(path)
                os.rmdir(os.path.dirname(path))


def is_fifo(path: str) -> bool:
    """Whether *path* is a fifo that is there; URIs aren't."""
    try:
        return path.startswith("/") and stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False
