"""Where runc keeps what it knows of containers."""

from __future__ import annotations

import os
from typing import Final

DEFAULT_ROOT: Final = "/run/containerd/runc"
"""The directory of all namespaces, unless the options name another."""


def state_directory(root: str, id_: str) -> str:
    """What runc keeps of one container; gone once it is deleted. *root* is that of the namespace."""
    return os.path.join(root, id_)
