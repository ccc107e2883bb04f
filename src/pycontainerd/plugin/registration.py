"""What a plugin says of itself beside what it does.

    @plugin(types.SNAPSHOTTER, "overlayfs", config=OverlayConfig, requires=[types.METADATA])
    async def overlayfs(init: Init) -> Overlayfs: ...
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pycontainerd.clock import Clock
from pycontainerd.ids import Ids


class SkipPlugin(Exception):
    """The plugin does not fit this machine or this configuration: its status is skip, dependants see no such plugin."""


class Plugins(Protocol):
    """What a starting plugin may ask of those that have started; see the rules of `graph`."""

    def single(self, type_: str) -> Any:
        """The one healthy instance of a type. Raises NotFound, or FailedPrecondition if there are more."""

    def by_id(self, type_: str, id_: str) -> Any: ...

    def all(self, type_: str) -> dict[str, Any]:
        """The healthy instances of a type by id, in the order of their start."""


class Spawn(Protocol):
    """Starts a background task of the plugin, cancelled when the daemon stops; a failure stops the daemon."""

    def __call__(self, coroutine: Any, *, name: str) -> None: ...


@dataclass(slots=True)
class Init:
    """What a plugin gets to start with. Directories are named, not made."""

    uri: str
    root: Path
    state: Path
    address: str
    ttrpc_address: str
    config: Any
    plugins: Plugins
    stack: AsyncExitStack
    """Lifetimes of the plugin; closed when the daemon stops, in reverse order of start."""
    spawn: Spawn
    clock: Clock
    ids: Ids
    exports: dict[str, str] = field(default_factory=dict)
    capabilities: list[str] = field(default_factory=list)
    platforms: list[str] = field(default_factory=list)


Start = Callable[[Init], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Registration:
    """A plugin as data. *config* is the msgspec struct that its section of config.toml decodes to."""

    type: str
    id: str
    requires: tuple[str, ...]
    config: type[Any] | None
    start: Start

    @property
    def uri(self) -> str:
        return f"{self.type}.{self.id}"


def plugin(
    type_: str, id_: str, *, requires: Sequence[str] = (), config: type[Any] | None = None
) -> Callable[[Start], Registration]:
    """Makes a registration of a start function."""

    def register(start: Start) -> Registration:
        return Registration(type_, id_, tuple(requires), config, start)

    return register
