"""What every worker does before it reads what others have made, and how it tells that it failed."""

from __future__ import annotations

import gc
import os
import resource
import sys
from typing import Final

from pycontainerd.errors import Error
from pycontainerd.system.deathpipe import die_with

SWITCH_INTERVAL_S: Final = 0.0005
"""Threads that inflate and hash wait so long at most for the interpreter's lock; by default it is ten times that."""

MEMORY_LIMIT: Final = 1 << 30
"""Bytes that a worker may take for itself, whatever its input says. A zstd window of 128 MiB is the most it needs."""

_REASON_LIMIT: Final = 4_096


def begin(tie: int, memory: int = MEMORY_LIMIT) -> None:
    """Ties this process to the pipe *tie*, limits its memory and lifts what would only hinder it."""
    die_with(tie)
    os.umask(0)
    gc.disable()  # what this process leaves goes with it
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    most = _own_memory() + memory
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _own_memory() -> int:
    """The bytes that RLIMIT_DATA counts; see proc_pid_statm(5)."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[5]) * resource.getpagesize()


def reason(error: Exception, doing: str) -> str:
    """Why a worker failed at *doing*, for the one who asked; nobody reads its stderr."""
    match error:
        case Error():
            text = error.message
        case OSError():
            text = _with_place(error)
        case MemoryError():
            text = f"failed to {doing}: more than {MEMORY_LIMIT >> 20} MiB of memory would be needed"
        case _:
            text = f"failed to {doing}: {error!r}"
    return text[:_REASON_LIMIT]


def _with_place(error: OSError) -> str:
    name = error.filename2 or error.filename
    where = f"{os.fsdecode(name)}: " if isinstance(name, str | bytes) else ""
    text = error.strerror or str(error)
    return f"{where}{text[:1].lower()}{text[1:]}"
