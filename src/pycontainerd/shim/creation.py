"""What a container is created from, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pycontainerd.mounts.model import Mount
from pycontainerd.shim.options import Options
from pycontainerd.shim.stdio import uri


@dataclass(frozen=True, slots=True)
class CreateTask:
    """What a container is created from."""

    id: str
    bundle: str
    rootfs: tuple[Mount, ...]
    stdio: uri.Request
    options: Options
    checkpoint: str
    parent_checkpoint: str


def mounts_of(messages: Sequence[Any]) -> tuple[Mount, ...]:
    """The mounts of a request as values."""
    return tuple(Mount(m.type, m.source, m.target, tuple(m.options)) for m in messages)
