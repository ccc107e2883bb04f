"""Control groups that a test makes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.daemon import remove_cgroups_of
from tests.harness.machine import CGROUPS


@contextmanager
def group_everywhere(name: str) -> Iterator[str]:
    """The path of an empty group *name* in every hierarchy, in which processes may be put."""
    for hierarchy in CGROUPS.iterdir():
        if hierarchy.is_dir() and not hierarchy.is_symlink():  # links are other names of the same hierarchy
            _make(hierarchy / name)
    try:
        yield f"/{name}"
    finally:
        remove_cgroups_of(name)


def _make(group: Path) -> None:
    group.mkdir()
    for file in ("cpuset.cpus", "cpuset.mems"):
        if (group / file).exists():  # the stock shim does not care for it
            (group / file).write_text((group.parent / file).read_text())
