"""What is asked of the tasks' store, and what it needs to know of containers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pycontainerd.runtime.model import Payload, RootfsMount, Stdio


@dataclass(frozen=True, slots=True)
class ContainerView:
    """The part of a container's record that its task is made from. *spec* is JSON, nothing if the record has none."""

    id: str
    runtime: str
    options: Payload | None
    spec: bytes
    sandbox: str


class Containers(Protocol):
    """Where the records of containers are."""

    def container(self, namespace: str, id_: str) -> ContainerView:
        """The record. Raises NotFound."""

    def require(self, namespace: str, id_: str) -> None:
        """Raises NotFound if there is no such record."""

    def exists(self, namespace: str, id_: str) -> bool:
        """Whether there is such a record."""


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to be created.

    *options* replace those of the container's runtime, *runtime* its runtime. *checkpoint* is a directory to restore
    from. *rootfs* may be empty: the spec says then where the root file system is.
    """

    id: str
    rootfs: tuple[RootfsMount, ...]
    stdio: Stdio
    checkpoint: str = ""
    options: Payload | None = None
    runtime: str = ""


@dataclass(frozen=True, slots=True)
class Statistics:
    """The control group figures of one task, in the form that its shim gives them."""

    id: str
    timestamp_ns: int
    data: Payload
