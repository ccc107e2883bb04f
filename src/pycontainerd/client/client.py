"""A client of one daemon in one namespace, its services loaded when first used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Final

from pycontainerd.client.session import Session

if TYPE_CHECKING:
    from pycontainerd.client.containers import Containers
    from pycontainerd.client.content import Content
    from pycontainerd.client.diff import Diff
    from pycontainerd.client.events import Events
    from pycontainerd.client.gc import GarbageCollector
    from pycontainerd.client.images import Images
    from pycontainerd.client.introspection import Introspection
    from pycontainerd.client.journals import Journals
    from pycontainerd.client.leases import Leases
    from pycontainerd.client.namespaces import Namespaces
    from pycontainerd.client.snapshots import Snapshots
    from pycontainerd.client.tasks import Tasks
    from pycontainerd.client.transfer import Transfer
    from pycontainerd.client.version import Version

LEASE_LIFETIME_S: Final = 24 * 3600
"""Seconds after which a lease that its client forgot to delete ends by itself."""


class Client:
    """The services of a daemon, seen from one namespace."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def namespace(self) -> str:
        return self._session.namespace

    @property
    def lease(self) -> str:
        """The lease that takes what is made through this client; empty for none."""
        return self._session.lease

    def in_namespace(self, namespace: str) -> Client:
        """The same daemon, another namespace."""
        return Client(self._session.within(namespace=namespace))

    def under_lease(self, lease: str) -> Client:
        """The same client; what is made through it belongs to *lease* as well."""
        return Client(self._session.within(lease=lease))

    @asynccontextmanager
    async def leased(self) -> AsyncIterator[Client]:
        """A client with a lease of its own, which ends with the block, or after a day."""
        if self.lease:
            yield self
            return
        lease = await self.leases.create(lifetime_s=LEASE_LIFETIME_S)
        try:
            yield self.under_lease(lease.id)
        finally:
            await self.leases.delete(lease.id)

    @cached_property
    def containers(self) -> Containers:
        from pycontainerd.client.containers import Containers

        return Containers(self._session)

    @cached_property
    def content(self) -> Content:
        from pycontainerd.client.content import Content

        return Content(self._session)

    @cached_property
    def diff(self) -> Diff:
        from pycontainerd.client.diff import Diff

        return Diff(self._session)

    @cached_property
    def events(self) -> Events:
        from pycontainerd.client.events import Events

        return Events(self._session)

    @cached_property
    def gc(self) -> GarbageCollector:
        """The collector of a daemon that is ours; others answer Unimplemented."""
        from pycontainerd.client.gc import GarbageCollector

        return GarbageCollector(self._session)

    @cached_property
    def images(self) -> Images:
        from pycontainerd.client.images import Images

        return Images(self._session)

    @cached_property
    def introspection(self) -> Introspection:
        from pycontainerd.client.introspection import Introspection

        return Introspection(self._session)

    @cached_property
    def journals(self) -> Journals:
        """What a daemon that is ours has noted of tasks; others answer Unimplemented."""
        from pycontainerd.client.journals import Journals

        return Journals(self._session)

    @cached_property
    def leases(self) -> Leases:
        from pycontainerd.client.leases import Leases

        return Leases(self._session)

    @cached_property
    def namespaces(self) -> Namespaces:
        from pycontainerd.client.namespaces import Namespaces

        return Namespaces(self._session)

    @cached_property
    def tasks(self) -> Tasks:
        from pycontainerd.client.tasks import Tasks

        return Tasks(self._session)

    @cached_property
    def transfer(self) -> Transfer:
        from pycontainerd.client.transfer import Transfer

        return Transfer(self._session)

    @cached_property
    def version(self) -> Version:
        from pycontainerd.client.version import Version

        return Version(self._session)

    def snapshots(self, snapshotter: str) -> Snapshots:
        """The snapshots of one snapshotter."""
        from pycontainerd.client.snapshots import Snapshots

        return Snapshots(self._session, snapshotter)

    async def close(self) -> None:
        """Ends the connection, for all clients that share it."""
        await self._session.rpc.close()
