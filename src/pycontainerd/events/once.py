"""How tasks end is told once.

An exit may reach us twice: a stock shim sends its event again for up to 15 s, and a daemon that has started anew
makes the same event from the task's state, since nobody can tell it whether the shim's own will come. A deletion may
come not at all, since a stock shim may end before it has sent the event, so that the daemon tells it as well. Equal
events, by topic, namespace, container, process id, pid and time, are one.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from pycontainerd.api.containerd import events_pb2
from pycontainerd.events.model import Envelope

EXIT: Final = "/tasks/exit"
DELETE: Final = "/tasks/delete"
REMEMBERED: Final = 4096
"""Events that are kept in mind; more can't be in the queues of shims that try again (2048 each, 15 s)."""

Key = tuple[str, str, str, str, int, int]


class Once:
    """The last ends of tasks that were told, oldest first."""

    def __init__(self) -> None:
        self._told: OrderedDict[Key, None] = OrderedDict()

    def first(self, envelope: Envelope) -> bool:
        """Whether *envelope* may go out: it is no end of a task, or was not told yet. It counts as told from now on."""
        key = _key(envelope)
        if key is None:
            return True
        if key in self._told:
            return False
        self._told[key] = None
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        return True


def _key(envelope: Envelope) -> Key | None:
    if envelope.topic not in (EXIT, DELETE):
        return None
    event = envelope.event
    if not isinstance(event, events_pb2.TaskExit | events_pb2.TaskDelete):
        return None
    at_ns = event.exited_at.seconds * 1_000_000_000 + event.exited_at.nanos
    return envelope.topic, envelope.namespace, event.container_id, event.id, event.pid, at_ns
