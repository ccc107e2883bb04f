"""The names of sockets that shims leave when they are killed."""

from __future__ import annotations

import contextlib
import os

from pycontainerd.rpc.sockets import is_served, locked


def remove_if_dead(path: str) -> None:
    """Removes the name of a socket at which nobody listens. Raises OSError."""
    if not os.path.lexists(path):
        return
    with locked(os.path.dirname(path)):
        if not is_served(path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
