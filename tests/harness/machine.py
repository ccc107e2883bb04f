"""The machine as a test session finds it, so that it can be compared with how the session leaves it.

A session marks what it makes: every process carries `MARK` in its environment, every directory lies below the session's
base, every namespace of containers begins with the session's name. Each process that runs tests compares what carries
its mark; on a machine of its own (CI) the one that started them compares the whole machine.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

MARK = "PYCONTAINERD_TEST_SESSION"
SESSION = f"t{uuid.uuid4().hex[:8]}"
ALONE = os.environ.get("CI") == "true"
BASE = Path("/dev/shm") / SESSION
RUN = os.environ.setdefault("PYCONTAINERD_TEST_RUN", SESSION)
"""The name of the session that started this one, with xdist; else this one's."""

SHARED = Path("/dev/shm") / f"{RUN}-shared"
"""What the sessions of one run share: who needs it makes it, and who started the run removes it."""

CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Machine:
    """What a test may leave behind by mistake."""

    processes: frozenset[str]
    mounts: frozenset[str]
    cgroups: frozenset[str]
    network_namespaces: frozenset[str]
    files: frozenset[str]

    @classmethod
    def now(cls, *, whole: bool = False) -> Self:
        """What carries this session's mark at this moment; with *whole*, everything, and processes of all sessions."""
        mark = f"{MARK}=" if whole else f"{MARK}={SESSION}"
        return cls(
            processes=frozenset(_processes(mark.encode())),
            mounts=frozenset(point for point in _mounts() if whole or point.startswith(f"{BASE}/")),
            cgroups=frozenset(path for path in _cgroups() if whole or f"/{SESSION}" in path),
            network_namespaces=frozenset(name for name in _names("/run/netns") if whole or name.startswith(SESSION)),
            files=frozenset(path for path in _files() if whole or f"/{SESSION}" in path),
        )

    def left_by(self, after: Machine) -> dict[str, list[str]]:
        """What *after* has and this machine had not, by kind; empty if nothing was left."""
        left = {f.name: sorted(getattr(after, f.name) - getattr(self, f.name)) for f in fields(self)}
        return {kind: names for kind, names in left.items() if names}


def _processes(mark: bytes) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue  # it ended, or is a kernel thread
        if command and any(variable.startswith(mark) for variable in environment):
            found.append(f"{entry.name} {command}")
    return found


def _mounts() -> list[str]:
    return [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]


def _cgroups() -> list[str]:
    depth = str(CGROUPS).count("/") + 3
    found = []
    for directory, names, _ in os.walk(CGROUPS):
        found += [os.path.join(directory, name) for name in names]
        if directory.count("/") > depth:
            names.clear()
    return found


def _files() -> list[str]:
    """What lies in the directories of the field that all daemons of a machine share."""
    shared = ("/run/containerd/runc", "/run/containerd/fifo", "/run/containerd/s")
    return [os.path.join(directory, name) for directory in shared for name in _names(directory)]


def _names(directory: str) -> list[str]:
    return os.listdir(directory) if os.path.isdir(directory) else []
