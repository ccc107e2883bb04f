"""All that is kept, put together: what the metadata plugin is to the other plugins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct

from pycontainerd.metadata.database import Database
from pycontainerd.metadata.gc.collector import Collector

if TYPE_CHECKING:
    from pycontainerd.containers.store import ContainerStore
    from pycontainerd.content.store import ContentStore
    from pycontainerd.images.store import ImageStore
    from pycontainerd.leases.store import LeaseStore
    from pycontainerd.namespaces.store import NamespaceStore
    from pycontainerd.snapshots.store import SnapshotStore


class Metadata(Struct, frozen=True):
    """The stores over one database, and their collector. *snapshotters* are the namespaced stores by snapshotter."""

    database: Database
    collector: Collector
    namespaces: NamespaceStore
    leases: LeaseStore
    content: ContentStore
    snapshotters: Mapping[str, SnapshotStore]
    images: ImageStore
    containers: ContainerStore
