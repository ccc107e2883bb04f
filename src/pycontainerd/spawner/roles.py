"""What children of the spawner do. A role's module offers `warm` and its function takes request and descriptors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

ROLES: Final[Mapping[str, str]] = {
    "apply": "pycontainerd.diff.apply_worker:main",
    "compare": "pycontainerd.diff.compare_worker:main",
    "import": "pycontainerd.transfer.archive_worker:main",
    "tree": "pycontainerd.snapshots.tree_worker:main",
    "shim": "pycontainerd.shim.child:main",
}
"""Name → `module:function`. The shim, of which there are the most, is warmed last: caches keep what it used."""

SHIM: Final = "shim"


class Main(Protocol):
    """The body of a child: gets its request and owns the descriptors; the result is its exit status."""

    def __call__(self, request: bytes, fds: list[int]) -> int: ...
