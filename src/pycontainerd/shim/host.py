"""What all containers of one shim share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from google.protobuf.message import Message

from pycontainerd.shim.exec_fifo import KnownRuntimes
from pycontainerd.shim.journal import Journal
from pycontainerd.shim.loop import Loop
from pycontainerd.shim.reaper import Reaper
from pycontainerd.shim.runc import Runc
from pycontainerd.shim.spawn import Tie


class Publisher(Protocol):
    """Where events go, in order."""

    def publish(self, topic: str, event: Message, *, delivered: Callable[[], None] | None = None) -> None:
        """Queues *event*; *delivered* is called once the daemon has taken it."""


@dataclass(frozen=True, slots=True)
class Host:
    """The shim, seen from a container."""

    loop: Loop
    reaper: Reaper
    journal: Journal
    publisher: Publisher
    namespace: str
    environment: Mapping[str, str]
    known: KnownRuntimes
    """The runtimes whose containers may be started through their fifo."""
    tie: Tie
    make_runc: Callable[..., Runc] = Runc
    """What drives the runtime."""
