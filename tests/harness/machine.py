"""The machine as a test session finds it, so that it can be compared with how the session leaves it.

A session marks what it makes: every process carries `MARK` in its environment, every directory lies below the session's
base, every namespace of containers begins with the session's name. On a machine of its own (CI) the comparison is of
the whole machine; beside other work it is of what carries a mark.
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
    def now(cls, base: Path) -> Self:
        """The machine at this moment; *base* is the directory of the session."""
        return cls(
            processes=frozenset(_processes()),
            mounts=frozenset(_mounts(base)),
            cgroups=frozenset(_cgroups()),
            network_namespaces=frozenset(_network_namespaces()),
            files=frozenset(_files()),
        )

    def left_by(self, after: Machine) -> dict[str, list[str]]:
        """What *after* has and this machine had not, by kind; empty if nothing was left."""
        left = {f.name: sorted(getattr(after, f.name) - getattr(self, f.name)) for f in fields(self)}
        return {kind: names for kind, names in left.items() if names}


def _processes() -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue  # it ended, or is a kernel thread
        if command and f"{MARK}={SESSION}".encode() in environment:
            found.append(f"{entry.name} {command}")
    return found


def _mounts(base: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4] for line in lines]
    return [point for point in points if ALONE or point.startswith(str(base))]


def _cgroups() -> list[str]:
    found = []
    for directory, names, _ in os.walk(CGROUPS):
        for name in names:
            if ALONE or name.startswith(SESSION):
                found.append(os.path.join(directory, name))
        if directory.count("/") - str(CGROUPS).count("/") > 3:
            names.clear()
    return found


def _network_namespaces() -> list[str]:
    named = Path("/run/netns")
    return [name for name in os.listdir(named) if ALONE or name.startswith(SESSION)] if named.exists() else []


def _files() -> list[str]:
    """Files in the global directories of the field that carry the session's mark."""
    found = []
    for directory in ("/run/containerd/runc", "/run/containerd/fifo", "/run/containerd/s"):
        if os.path.isdir(directory):
            found += [
                os.path.join(directory, name) for name in os.listdir(directory) if ALONE or name.startswith(SESSION)
            ]
    return found
