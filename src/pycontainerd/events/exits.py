"""Exits of tasks are told once.

An exit may reach us twice: a stock shim sends its event again for up to 15 s, and a daemon that has started anew
makes the same event from the task's state, since nobody can tell it whether the shim's own will come. Equal exits,
by namespace, container, process id, pid and time, are one.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from pycontainerd.api.containerd import events_pb2
from pycontainerd.events.model import Envelope

TOPIC: Final = "/tasks/exit"
REMEMBERED: Final = 4096
"""Exits that are kept in mind; more can't be in the queues of shims that try again (2048 each, 15 s)."""

Key = tuple[str, str, str, int, int]


class Exits:
    """The last exits that were told, oldest first."""

    def __init__(self) -> None:
        self._told: OrderedDict[Key, None] = OrderedDict()

    def first(self, envelope: Envelope) -> bool:
        """Whether *envelope* may go out: it is no exit, or one that was not told yet. It counts as told from now on."""
        if envelope.topic != TOPIC:
            return True
        event = envelope.event
        if not isinstance(event, events_pb2.TaskExit):
            return True
        at = event.exited_at.seconds * 1_000_000_000 + event.exited_at.nanos
        key = (envelope.namespace, event.container_id, event.id, event.pid, at)
        if key in self._told:
            return False
        self._told[key] = None
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        return True
