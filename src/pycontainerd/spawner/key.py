"""The key in the name of the spawner's socket: made of what a child can't reset.

Two askers share a spawner only if all of this is equal: the build of the package and the interpreter, ids and
capabilities, namespaces, the own control group, hard limits, the security label, and the table of roles.
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys
from collections.abc import Iterator
from typing import Final

import pycontainerd
from pycontainerd.spawner.limits import limits

DEFAULT_ROLES: Final = "pycontainerd.spawner.roles:ROLES"
"""The table of what our children do, as `module:attribute`."""

_STATUS_FIELDS = ("Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:", "Seccomp:")


def spawner_key(roles: str) -> str:
    """The key of this process for the table *roles*: 16 hex digits."""
    facts = "\0".join([roles, *_build(), *_status(), *_namespaces(), *_limits(), *_labels()])
    return hashlib.sha256(facts.encode(errors="surrogateescape")).hexdigest()[:16]


def _build() -> Iterator[str]:
    """An installed package is told by its record; one in a working tree by its newest file."""
    package = os.path.dirname(pycontainerd.__file__)
    yield from (sys.executable, sys.version, package)
    with os.scandir(os.path.dirname(package)) as entries:
        records = [f"{entry.path}/RECORD" for entry in entries if _is_record(entry)]
    for record in records or _sources(package):
        state = os.stat(record)
        yield f"{record} {state.st_mtime_ns} {state.st_size}"


def _is_record(entry: os.DirEntry[str]) -> bool:
    return entry.name.startswith("pycontainerd-") and entry.name.endswith(".dist-info")


def _sources(package: str) -> Iterator[str]:
    with os.scandir(package) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.endswith(".py"):
                yield entry.path
            elif entry.is_dir(follow_symlinks=False) and entry.name != "__pycache__":
                yield from _sources(entry.path)


def _status() -> Iterator[str]:
    with open("/proc/self/status", encoding="utf-8", errors="surrogateescape") as file:
        yield from (line for line in file if line.startswith(_STATUS_FIELDS))
    with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
        yield file.read()


def _namespaces() -> Iterator[str]:
    for name in sorted(os.listdir("/proc/self/ns")):
        if not name.endswith("_for_children"):
            yield os.readlink(f"/proc/self/ns/{name}")
    root = os.stat("/")  # a chroot is no namespace, and as final
    yield f"{root.st_dev} {root.st_ino}"


def _limits() -> Iterator[str]:
    yield from (f"{number}={resource.getrlimit(number)[1]}" for number in limits())


def _labels() -> Iterator[str]:
    try:
        with open("/proc/self/attr/current", encoding="utf-8", errors="surrogateescape") as file:
            yield file.read()
    except OSError:
        yield ""  # no security module answers
