"""A shim that the daemon is connected to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from pycontainerd.runtime.bootstrap import Bootstrap
from pycontainerd.runtime.bundle import Bundle
from pycontainerd.runtime.connection import ShimConnection
from pycontainerd.runtime.discovery import ShimBinary
from pycontainerd.runtime.logcopy import LogCopy
from pycontainerd.runtime.task_api import TaskApi
from pycontainerd.runtime.waits import Waits


@dataclass(slots=True, eq=False)
class Shim:
    """A bundle, the process that serves it, and the connection to that process.

    *binary* is None for a task that has joined the shim of a sandbox: it neither starts nor ends that process.
    *removing* is held by whoever takes the shim away, so that nobody else does at the same time. *gone* is set then:
    the end of the connection is expected from there on.
    """

    bundle: Bundle
    binary: ShimBinary | None
    bootstrap: Bootstrap
    connection: ShimConnection
    log: LogCopy
    api: TaskApi = field(init=False)
    waits: Waits = field(default_factory=Waits)
    removing: asyncio.Lock = field(default_factory=asyncio.Lock)
    gone: bool = False

    def __post_init__(self) -> None:
        self.api = TaskApi(self.connection, self.bootstrap, self.bundle.namespace)

    @property
    def id(self) -> str:
        return self.bundle.id

    @property
    def is_ours(self) -> bool:
        """Whether the process is known to be of our make."""
        return self.binary is not None and self.binary.ours

    @property
    def namespace(self) -> str:
        return self.bundle.namespace
