"""What a plugin says of itself beside what it does.

    @plugin(types.SNAPSHOTTER, "overlayfs", config=OverlayConfig, requires=[types.METADATA])
    async def overlayfs(init: Init) -> Overlayfs: ...

What instances are: of a `grpc.v1` or `ttrpc.v1` plugin a `Service`, or a tuple of them; of a `service.v1` plugin the
store that those wrap; of a `server.v1` plugin a `Server`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct, field

from pycontainerd.clock import Clock
from pycontainerd.ids import Ids


class SkipPlugin(Exception):
    """The plugin does not fit this machine or this configuration: its status is skip, dependants see no such plugin.

    The text that clients see ends in `skip plugin`: they tell skipped from failed by it.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason if "skip plugin" in reason else f"{reason}: skip plugin" if reason else "skip plugin")


class RefuseStart(Exception):
    """The daemon must not start: what the plugin found would be harmed. Raised from the error that says what it is."""


class Plugins(Protocol):
    """What a starting plugin may ask of those that have started; see the rules of `graph`."""

    def single(self, type_: str) -> Any:
        """The one healthy instance of a type. Raises NotFound, or FailedPrecondition if there are more."""

    def by_id(self, type_: str, id_: str) -> Any:
        """The instance of a type and an id. Raises NotFound, or what the plugin failed with."""

    def all(self, type_: str) -> dict[str, Any]:
        """The healthy instances of a type by id, in the order of their start."""

    def started(self) -> Sequence[Started]:
        """All plugins in the order of their start, the skipped and failed ones as well; grows during the start."""


class Spawn(Protocol):
    """Starts a background task of the plugin, cancelled when the daemon stops; a failure stops the daemon."""

    def __call__(self, coroutine: Any, *, name: str) -> None: ...


class Server(Protocol):
    """An instance of type `server.v1`: listens once all plugins have started, and stops before any of them."""

    async def serve(self) -> None:
        """Returns when the server listens."""

    async def stop(self) -> None:
        """Takes no more calls, ends the open ones, removes the socket."""


class Informative(Protocol):
    """A plugin instance that answers `Introspection.PluginInfo` with more than its registration."""

    async def plugin_info(self, options: Any) -> Any:
        """The answer to *options*, a `google.protobuf.Any` or None; an Any as well, or None."""


class StreamProcessor(Struct, frozen=True):
    """A program that turns layers of the media types *accepts* into *returns*."""

    accepts: tuple[str, ...]
    returns: str
    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()


class Init(Struct):
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
    """As `linux/amd64`."""
    timeouts: Mapping[str, float] = field(default_factory=dict)
    """Seconds by the names of the section `timeouts`; 0 means no limit."""
    stream_processors: Mapping[str, StreamProcessor] = field(default_factory=dict)
    after_serving: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """Called in order when all servers listen: what must not reach clients that could not yet connect."""
    spawner: Any = None
    """The daemon's connection to the process that all others are forked from, a `spawner.aio.Spawner`."""
    readiness: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """Awaited before the service manager hears that the daemon is ready; such a plugin must not fail."""


Start = Callable[[Init], Awaitable[Any]]
ConfigStruct = type[Any]


class Registration(Struct, frozen=True):
    """A plugin as data. *config* is the msgspec struct that its section of config.toml decodes to."""

    type: str
    id: str
    requires: tuple[str, ...]
    config: ConfigStruct | None
    start: Start
    replaces: bool = False
    """Whether it takes the place of a plugin of its type and id that is disabled."""

    @property
    def uri(self) -> str:
        return f"{self.type}.{self.id}"


class Started(Struct):
    """A plugin after its start: *instance* where *error* is None. A `SkipPlugin` error means that it was skipped."""

    registration: Registration
    init: Init
    instance: Any = None
    error: Exception | None = None

    @property
    def skipped(self) -> bool:
        return isinstance(self.error, SkipPlugin)


def plugin(
    type_: str, id_: str, *, requires: Sequence[str] = (), config: ConfigStruct | None = None
) -> Callable[[Start], Registration]:
    """Makes a registration of a start function."""

    def register(start: Start) -> Registration:
        return Registration(type_, id_, tuple(requires), config, start)

    return register
