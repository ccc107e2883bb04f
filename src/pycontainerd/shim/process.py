"""What init and execs have in common: a state, an exit, and which call is refused in which state."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pycontainerd.errors import Error, NotFound, Unknown
from pycontainerd.shim.loop import Loop
from pycontainerd.shim.stdio import uri
from pycontainerd.shim.stdio.streams import Streams

YEAR_ONE_S: Final = -62135596800
"""Seconds of the time that Go sends where it knows none."""


class State(StrEnum):
    """Where a process is in its life."""

    CREATED = "created"
    RUNNING = "running"
    PAUSING = "pausing"
    PAUSED = "paused"
    STOPPED = "stopped"
    DELETED = "deleted"


_ALLOWED: Final = {
    "start": (State.CREATED,),
    "delete": (State.CREATED, State.STOPPED),
    "pause": (State.RUNNING,),
    "resume": (State.PAUSED,),
    "update": (State.CREATED, State.RUNNING, State.PAUSED),
    "checkpoint": (State.RUNNING, State.PAUSED),
    "exec": (State.CREATED, State.RUNNING),
}
"""Which calls go through in which states; `kill` is decided by what is there to be killed."""


def refusal(action: str, state: State) -> Error:
    """The error for *action* in *state*, in the words of the original."""
    match action, state:
        case "exec", _:
            return Unknown(f"cannot exec in a {state} state")
        case (("pause" | "resume"), State.CREATED):
            return Unknown(f"cannot {action} task in created state")
        case "checkpoint", State.CREATED:
            return Unknown("cannot checkpoint a task in created state")
        case "delete", State.DELETED:
            return NotFound("cannot delete a deleted process")
        case ("pause", State.PAUSED) | (("pause" | "resume" | "update" | "checkpoint"), State.STOPPED):
            return Unknown(f"cannot {action} a {state} container")
        case _:
            return Unknown(f"cannot {action} a {state} process")


class Process:
    """One process of a container. *id* is that of the container for its init, the exec id otherwise."""

    def __init__(self, loop: Loop, id_: str, request: uri.Request) -> None:
        self.loop = loop
        self.id = id_
        self.request = request
        self.lock = loop.lock()
        self.state = State.CREATED
        self.pid = 0
        self.exit_status = 0
        self.exited_at_ns: int | None = None
        self.exited = loop.waiter()
        """Set when the exit is known and recorded, and when there will be none."""
        self.streams: Streams | None = None

    @property
    def stopped(self) -> bool:
        return self.state in (State.STOPPED, State.DELETED)

    def check(self, action: str) -> None:
        """Raises the error for *action* if the state does not allow it."""
        if self.state not in _ALLOWED[action]:
            raise refusal(action, self.state)

    def set_exited(self, status: int, at_ns: int) -> None:
        """The process has ended."""
        self.exit_status, self.exited_at_ns = status, at_ns
        self.state = State.STOPPED

    def resize(self, width: int, height: int) -> None:
        if self.streams is not None:
            self.streams.resize(width, height)

    def close_stdin(self) -> None:
        if self.streams is not None:
            self.streams.close_stdin()

    async def close_streams(self) -> None:
        """Closes whatever is open for the process's input and output."""
        streams, self.streams = self.streams, None
        if streams is not None:
            await streams.close()
