"""What snapshotters speak of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final

from msgspec import Struct, field

from pycontainerd.mounts.model import Mount

Mounts = tuple[Mount, ...]

LABEL_PREFIX: Final = "containerd.io/snapshot/"
"""Labels with it are passed to the backend."""

LABEL_TARGET: Final = "containerd.io/snapshot.ref"
"""The name that the snapshot will be committed under, for backends that may have it already."""

LABEL_UID_MAPPING: Final = "containerd.io/snapshot/uidmapping"
LABEL_GID_MAPPING: Final = "containerd.io/snapshot/gidmapping"

REBASE: Final = "rebase"
"""Capability: an active snapshot without a parent can get one when it is committed."""

REMAP_IDS: Final = "remap-ids"
ONLY_REMAP_IDS: Final = "only-remap-ids"


class Kind(IntEnum):
    """What can be done with a snapshot; the numbers of the wire and of the database."""

    VIEW = 1
    ACTIVE = 2
    COMMITTED = 3


class Info(Struct, frozen=True):
    """A snapshot. Times are nanoseconds since 1970 UTC; *parent* is empty for one without."""

    name: str
    kind: Kind
    parent: str
    created_ns: int
    updated_ns: int
    labels: Mapping[str, str] = field(default_factory=dict)

    def field(self, path: Sequence[str], /) -> tuple[str, bool]:
        """The snapshot as the filter language sees it."""
        match path:
            case ["kind"]:
                return self.kind.name.lower(), True
            case ["name"]:
                return self.name, True
            case ["parent"]:
                return self.parent, True
            case ["labels", *rest]:
                value = self.labels.get(".".join(rest))
                return value or "", value is not None
            case _:
                return "", False


class Usage(Struct, frozen=True):
    """What a snapshot takes of the disk, without its parents: bytes and inodes."""

    size: int = 0
    inodes: int = 0


def for_backend(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels that a backend gets to see."""
    return {key: value for key, value in labels.items() if key.startswith(LABEL_PREFIX) or key == LABEL_TARGET}
