"""What is asked of the tasks' store, and what it needs to know of containers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pycontainerd.runtime.model import Payload, RootfsMount, Stdio
from pycontainerd.shim.steps import Step


@dataclass(frozen=True, slots=True)
class ContainerView:
    """The part of a container's record that its task is made from. *spec* is JSON, nothing if the record has none."""

    id: str
    runtime: str
    options: Payload | None
    spec: bytes
    sandbox: str
    spec_type: str = ""
    """The type URL of the spec."""


class Containers(Protocol):
    """Where the records of containers are."""

    def container(self, namespace: str, id_: str) -> ContainerView:
        """The record. Raises NotFound."""

    def require(self, namespace: str, id_: str) -> None:
        """Raises NotFound if there is no such record."""

    def exists(self, namespace: str, id_: str) -> bool:
        """Whether there is such a record."""

    def has_sandbox(self, namespace: str, id_: str) -> bool:
        """Whether there is a record of such a sandbox."""


class Rootfs(Protocol):
    """Who mounts what shims can't, before a task is made of it."""

    async def activate(
        self, namespace: str, id_: str, mounts: Sequence[RootfsMount], allowed: Callable[[], Awaitable[Sequence[str]]]
    ) -> Sequence[RootfsMount]:
        """The mounts that are left for the shim of the container *id_*; *allowed* tells which types it does itself."""

    async def deactivate(self, namespace: str, id_: str) -> None:
        """Takes away what was mounted for the container *id_*, if anything was."""


class AsGiven:
    """Mounts nothing: shims get what clients send."""

    async def activate(
        self, namespace: str, id_: str, mounts: Sequence[RootfsMount], allowed: Callable[[], Awaitable[Sequence[str]]]
    ) -> Sequence[RootfsMount]:
        return mounts

    async def deactivate(self, namespace: str, id_: str) -> None:
        return


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to be created.

    *options* replace those of the container's runtime, *runtime* its runtime. *checkpoint* is a directory to restore
    from. *rootfs* may be empty: the spec says then where the root file system is. *api_address* and *api_version* tell
    where the sandbox of the container serves tasks, see `runtime.joining`.
    """

    id: str
    rootfs: tuple[RootfsMount, ...]
    stdio: Stdio
    checkpoint: str = ""
    options: Payload | None = None
    runtime: str = ""
    api_address: str = ""
    api_version: int = 0
    change: Callable[[str], Awaitable[None]] | None = None
    """Changes the mounted root file system as it was at the checkpoint: then the task runs as soon as it is created."""
    unpack: Callable[[str], Awaitable[None]] | None = None
    """Makes the directory that it is told, and fills it with the checkpoint to restore from, if that is not a directory
    yet."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """The control group figures of one task, in the form that its shim gives them."""

    id: str
    timestamp_ns: int
    data: Payload


@dataclass(frozen=True, slots=True)
class Counted:
    """What the control group of one task has counted, and which task that is."""

    namespace: str
    id: str
    runtime: str
    data: Payload


@dataclass(frozen=True, slots=True)
class Journal:
    """The steps that were taken for a task, in their order. *gone*: the task is no more, and something has failed."""

    steps: tuple[Step, ...]
    gone: bool
