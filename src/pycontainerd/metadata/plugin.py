"""The plugins of the metadata: the database with all stores over it, and the collector's schedule."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from pycontainerd.api.containerd.events_pb2 import SnapshotRemove
from pycontainerd.containers import codec as container_codec
from pycontainerd.containers.store import ContainerStore
from pycontainerd.content.backend import Backend
from pycontainerd.content.collection import ContentCollection
from pycontainerd.content.store import ContentStore
from pycontainerd.errors import Error, InvalidArgument
from pycontainerd.events.exchange import Exchange
from pycontainerd.images import codec as image_codec
from pycontainerd.images.store import ImageStore
from pycontainerd.leases.store import LeaseStore
from pycontainerd.metadata import kinds
from pycontainerd.metadata.database import Database
from pycontainerd.metadata.gc.collector import Collector
from pycontainerd.metadata.gc.scheduler import Limits, Scheduler
from pycontainerd.metadata.gc.sweep import Removed
from pycontainerd.metadata.guard import claimed
from pycontainerd.metadata.metadata import Metadata
from pycontainerd.metadata.times import NS
from pycontainerd.namespaces.store import NamespaceStore
from pycontainerd.plugin import sections, types
from pycontainerd.plugin.registration import Init, RefuseStart, plugin
from pycontainerd.snapshots.backend import Snapshotter
from pycontainerd.snapshots.store import SnapshotStore

_log: Final = logging.getLogger(__name__)

_POLICIES: Final = ("shared", "isolated")


@plugin(types.METADATA, "bolt", requires=[types.CONTENT, types.EVENT, types.SNAPSHOTTER], config=sections.Bolt)
async def bolt(init: Init) -> Metadata:
    """The name is the original's, as config.toml and clients know it."""
    config: sections.Bolt = init.config
    if config.content_sharing_policy not in ("", *_POLICIES):
        raise InvalidArgument(f"unknown content_sharing_policy {config.content_sharing_policy!r}")
    try:
        path = init.stack.enter_context(claimed(init.root.parent, init.root))
        database = init.stack.enter_context(Database.open(path, init.clock, sync=not config.no_sync))
    except Error as error:
        raise RefuseStart(f"{error.wire_text()} ({error.hint})" if error.hint else error.wire_text()) from error
    init.exports.update(path=str(path), policy=config.content_sharing_policy or "shared")
    return assembled(
        init,
        database,
        content=init.plugins.single(types.CONTENT),
        snapshotters=init.plugins.all(types.SNAPSHOTTER),
        events=init.plugins.single(types.EVENT),
        isolated=config.content_sharing_policy == "isolated",
    )


def assembled(
    init: Init,
    database: Database,
    *,
    content: Backend,
    snapshotters: Mapping[str, Snapshotter],
    events: Exchange,
    isolated: bool,
) -> Metadata:
    """The stores over *database* and the backends, and the collector that knows them all."""
    leases = LeaseStore(database, init.ids)
    images = ImageStore(database, leases, events, image_codec)
    content.bind(database)
    for snapshotter in snapshotters.values():
        snapshotter.bind(database)
    metadata = Metadata(
        database=database,
        collector=Collector(database, init.clock, _Teller(images, events).tell),
        namespaces=NamespaceStore(database, events),
        leases=leases,
        content=ContentStore(database, content, leases, events, init.clock, isolated=isolated),
        snapshotters={
            name: SnapshotStore(name, backend, database, leases, events) for name, backend in snapshotters.items()
        },
        images=images,
        containers=ContainerStore(database, events, container_codec),
    )
    collection = ContentCollection(database, content)
    only = None if content.doubtful is None else collection.collect_only
    metadata.collector.register(collection, kinds.CONTENT, kinds.INGESTS, only=only)
    for name, store in metadata.snapshotters.items():
        metadata.collector.register(store, kinds.snapshots(name), only=store.collect_only)
    return metadata


@plugin(types.GC, "scheduler", requires=[types.METADATA], config=sections.Scheduler)
async def scheduler(init: Init) -> Scheduler:
    config: sections.Scheduler = init.config
    metadata: Metadata = init.plugins.single(types.METADATA)
    limits = Limits.clamped(
        pause_threshold=config.pause_threshold,
        deletion_threshold=config.deletion_threshold,
        mutation_threshold=config.mutation_threshold,
        schedule_delay_s=config.schedule_delay / NS,
        startup_delay_s=config.startup_delay / NS,
    )
    init.exports.update(
        PauseThreshold=f"{limits.pause_threshold:g}",
        DeletionThreshold=str(limits.deletion_threshold),
        MutationThreshold=str(limits.mutation_threshold),
        ScheduleDelay=str(config.schedule_delay),
    )
    scheduled = Scheduler(metadata.collector, metadata.database, init.clock, limits)
    init.spawn(scheduled.main(), name="garbage collection")
    return scheduled


class _Teller:
    """Publishes what clients hear of a collection."""

    def __init__(self, images: ImageStore, events: Exchange) -> None:
        self._images = images
        self._events = events

    def tell(self, removed: Removed) -> None:
        try:
            if removed.kind == kinds.IMAGES:
                self._images.publish_deleted(removed.namespace, removed.name)
            elif removed.kind.startswith(kinds.SNAPSHOTS_PREFIX):
                snapshotter = removed.kind.removeprefix(kinds.SNAPSHOTS_PREFIX)
                event = SnapshotRemove(key=removed.name, snapshotter=snapshotter)
                self._events.publish(removed.namespace, "/snapshot/remove", event)
        except Error as error:
            # What is gone is gone; nobody waits for an answer.
            _log.warning("failed to publish the removal of %s %s: %s", removed.kind, removed.name, error)
