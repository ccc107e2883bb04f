"""What the daemon knows of processes in shims."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from msgspec import Struct

YEAR_ONE_NS: Final = -62135596800 * 1_000_000_000
"""Go's zero time: what clients get where no time is known."""


class Status(IntEnum):
    """The state of a process, with the numbers of `containerd.v1.types.Status`."""

    UNKNOWN = 0
    CREATED = 1
    RUNNING = 2
    STOPPED = 3
    PAUSED = 4
    PAUSING = 5


class Stdio(Struct, frozen=True):
    """Where the output of a process goes and its input comes from: paths of fifos, or URIs (runtime-shim.md §7)."""

    stdin: str = ""
    stdout: str = ""
    stderr: str = ""
    terminal: bool = False


class Exit(Struct, frozen=True):
    """How a process ended: status as a shell counts it, time in nanoseconds since 1970."""

    pid: int
    status: int
    exited_at_ns: int


class State(Struct, frozen=True):
    """A process as its shim describes it."""

    id: str
    pid: int
    status: Status
    stdio: Stdio
    exit_status: int
    exited_at_ns: int


class Payload(Struct, frozen=True):
    """A value of a type that we don't look into: type URL and bytes of an Any."""

    type_url: str
    value: bytes


class ProcessInfo(Struct, frozen=True):
    """A process of a container by its pid; *info* says which exec it is, if it is one."""

    pid: int
    info: Payload | None


class RootfsMount(Struct, frozen=True):
    """A mount that makes up the root file system, as the client names it and the shim mounts it."""

    type: str
    source: str
    target: str
    options: tuple[str, ...]
