"""The kinds of objects. Where leases can name one, the word is the one that leases use."""

from __future__ import annotations

from typing import Final

NAMESPACES: Final = "namespaces"
CONTENT: Final = "content"
INGESTS: Final = "ingests"
IMAGES: Final = "images"
CONTAINERS: Final = "containers"
LEASES: Final = "leases"
SANDBOXES: Final = "sandboxes"
STREAMS: Final = "streams"
MOUNTS: Final = "mounts"
SNAPSHOTS_PREFIX: Final = "snapshots/"


def snapshots(snapshotter: str) -> str:
    """The kind of the snapshots of one snapshotter."""
    return SNAPSHOTS_PREFIX + snapshotter
