"""The stores over a database of a test, and what they publish."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf.message import Message

from pycontainerd.containers import codec as container_codec
from pycontainerd.containers.store import ContainerStore
from pycontainerd.ids import RandomIds
from pycontainerd.images import codec as image_codec
from pycontainerd.images.store import ImageStore
from pycontainerd.leases.store import LeaseStore
from pycontainerd.metadata.database import Database
from pycontainerd.namespaces.store import NamespaceStore
from pycontainerd.rpc.call import check_identifier
from pycontainerd.sandboxes import codec as sandbox_codec
from pycontainerd.sandboxes.store import SandboxStore
from tests.harness.clocks import ManualClock


@dataclass
class Published:
    """An exchange that keeps what it gets."""

    events: list[tuple[str, str, Message]] = field(default_factory=list)

    def publish(self, namespace: str, topic: str, event: Message) -> None:
        check_identifier(namespace)
        self.events.append((namespace, topic, event))

    @property
    def topics(self) -> list[str]:
        return [topic for _, topic, _ in self.events]


@dataclass
class Stores:
    """All stores that need nothing but the database."""

    database: Database
    clock: ManualClock
    published: Published
    namespaces: NamespaceStore
    leases: LeaseStore
    images: ImageStore
    containers: ContainerStore
    sandboxes: SandboxStore

    @classmethod
    @asynccontextmanager
    async def opened(cls, directory: Path) -> AsyncIterator[Stores]:
        """Stores over a database in *directory*."""
        clock, published = ManualClock(), Published()
        with Database.open(directory / "meta.sqlite", clock) as database:
            leases = LeaseStore(database, RandomIds())
            yield cls(
                database,
                clock,
                published,
                NamespaceStore(database, published),
                leases,
                ImageStore(database, leases, published, image_codec),
                ContainerStore(database, published, container_codec),
                SandboxStore(database, sandbox_codec),
            )


def with_stores(directory: Path, test: Callable[[Stores], Awaitable[None]]) -> None:
    """Runs *test* with stores over a database in *directory*."""

    async def main() -> None:
        async with Stores.opened(directory) as stores:
            await test(stores)

    asyncio.run(main())
