"""Removing a container that has ended without one more runc: 0.3 ms instead of 10.

What runc keeps of such a container are its control groups and a directory with `state.json`, which names them; all that
`runc delete` does is to remove both, the control groups first (seen with strace for 1.1 and 1.5). As with the start
through the fifo, it is done only for programs that are known. What is not plain is left to `runc delete`, which goes on
where this has stopped: hooks, control groups of systemd, resource groups, a group that is not empty.
"""

from __future__ import annotations

import os
import shutil
from typing import Final

import msgspec

STATE: Final = "state.json"
SIZE_LIMIT: Final = 4 << 20


class _State(msgspec.Struct):
    init_process_pid: int
    cgroup_paths: dict[str, str]
    intel_rdt_path: str = ""


_decoder: Final = msgspec.json.Decoder(_State)


def remove(directory: str, pid: int) -> bool:
    """Removes the container whose state is kept in *directory*, and whose init was *pid*; whether all is gone.

    Its processes must have ended.
    """
    try:
        with open(os.path.join(directory, STATE), "rb", buffering=0) as file:
            state = _decoder.decode(file.read(SIZE_LIMIT))
        if state.init_process_pid != pid or state.intel_rdt_path:
            return False
        for path in set(state.cgroup_paths.values()):
            _remove_cgroup(path)
        shutil.rmtree(directory)
    except (OSError, msgspec.DecodeError):
        return False
    return True


def _remove_cgroup(path: str) -> None:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return
