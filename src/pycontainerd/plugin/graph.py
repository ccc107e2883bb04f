"""The order in which plugins start, their start, and their end.

Order: that of registration, depth first: before a plugin, all plugins of each type that it requires. Disabled plugins
are taken out first and appear nowhere. A plugin that skips or fails does not stop the start of others: who asks for
the only one of its type sees nothing of a skipped plugin, and gets the error of a failed one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, Self

from pycontainerd.errors import Error, FailedPrecondition, Internal, NotFound
from pycontainerd.log import fields
from pycontainerd.plugin import types
from pycontainerd.plugin.registration import Init, RefuseStart, Registration, Server, Started

_LOG: Final = logging.getLogger(__name__)
_EVERYTHING: Final = "*"


def ordered(registrations: Iterable[Registration], disabled: Iterable[str] = ()) -> tuple[Registration, ...]:
    """*registrations* without those whose URI is *disabled*, each after what it requires.

    Raises Internal for a URI that is taken twice, a plugin that requires its own type, and a cycle: these are
    defects of a program, not of a configuration.
    """
    off = frozenset(disabled)
    wanted = [it for it in registrations if it.replaces or it.uri not in off]
    _check(wanted)
    by_type: dict[str, list[Registration]] = {}
    for registration in wanted:
        by_type.setdefault(registration.type, []).append(registration)
    placed: dict[str, Registration] = {}
    for registration in wanted:
        _place(registration, by_type, placed, ())
    return tuple(placed.values())


def _check(registrations: Sequence[Registration]) -> None:
    seen: set[str] = set()
    for registration in registrations:
        if registration.uri in seen:
            raise Internal(f"plugin {registration.uri}: registered twice")
        seen.add(registration.uri)
        if registration.type in registration.requires:
            raise Internal(f"plugin {registration.uri}: requires its own type")


def _place(
    registration: Registration,
    by_type: dict[str, list[Registration]],
    placed: dict[str, Registration],
    path: tuple[str, ...],
) -> None:
    if registration.uri in placed:
        return
    if registration.uri in path:
        cycle = " → ".join((*path[path.index(registration.uri) :], registration.uri))
        raise Internal(f"plugins require each other: {cycle}")
    requires = tuple(by_type) if registration.requires == (_EVERYTHING,) else registration.requires
    for type_ in requires:
        for needed in by_type.get(type_, ()):
            if needed is not registration:
                _place(needed, by_type, placed, (*path, registration.uri))
    placed[registration.uri] = registration


class StartedPlugins:
    """The plugins that have started, by their order, type and id."""

    __slots__ = ("_by_type", "_order")

    def __init__(self) -> None:
        self._order: list[Started] = []
        self._by_type: dict[str, dict[str, Started]] = {}

    def add(self, started: Started) -> None:
        self._order.append(started)
        self._by_type.setdefault(started.registration.type, {})[started.registration.id] = started

    def single(self, type_: str) -> Any:
        """The one instance of *type_* that was not skipped.

        Raises NotFound without one, the error of the plugin if it failed, FailedPrecondition if there are more.
        """
        found = [started for started in self._by_type.get(type_, {}).values() if not started.skipped]
        for started in found:
            if started.error is not None:
                raise started.error
        if not found:
            raise NotFound(f"no plugins registered for {type_}: plugin")
        if len(found) > 1:
            raise FailedPrecondition(f"multiple plugins registered for {type_}: plugin: multiple instances")
        return found[0].instance

    def by_id(self, type_: str, id_: str) -> Any:
        """The instance of *type_* called *id_*.

        Raises NotFound without one, or the error of one that was skipped or failed.
        """
        started = self._by_type.get(type_, {}).get(id_)
        if started is None:
            raise NotFound(f"plugin {type_}.{id_}: plugin")
        if started.error is not None:
            raise started.error
        return started.instance

    def all(self, type_: str) -> dict[str, Any]:
        """The healthy instances of *type_* by id, in the order of their start."""
        return {id_: it.instance for id_, it in self._by_type.get(type_, {}).items() if it.error is None}

    def started(self) -> Sequence[Started]:
        return self._order


Describe = Callable[[Registration, StartedPlugins, AsyncExitStack], Init]
"""Makes what a plugin starts with; raises what its section of the configuration is refused with."""


class Graph:
    """The plugins of a daemon: started in order, their servers served, and closed in reverse.

    Used as a context: leaving it stops the servers, then closes the plugins.
    """

    def __init__(self, order: Sequence[Registration], describe: Describe, required: Sequence[str] = ()) -> None:
        self.plugins = StartedPlugins()
        self._order = order
        self._describe = describe
        self._required = required
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def start(self) -> None:
        """Starts every plugin. Raises FailedPrecondition if one that is required did not start or does not exist."""
        missing = set(self._required)
        for registration in self._order:
            missing.discard(registration.uri)
            await self._start(registration)
        if missing:
            raise FailedPrecondition(f"required plugin [{' '.join(sorted(missing))}] not included", bare=True)

    async def _start(self, registration: Registration) -> None:
        about = {"id": registration.uri, "type": registration.type}
        _LOG.info("loading plugin", extra=fields(**about))
        stack = AsyncExitStack()
        started = Started(registration, self._describe(registration, self.plugins, stack))
        try:
            started.instance = await registration.start(started.init)
        except Exception as error:  # noqa: BLE001 - one plugin's defect is its status, not the end of the daemon
            started.error = error
            _log_failure(started, about)
            await stack.aclose()  # what it took before it failed
        else:
            self._stack.push_async_exit(stack)
        self.plugins.add(started)
        self._refuse(started)

    def _refuse(self, started: Started) -> None:
        if started.error is None:
            return
        uri = started.registration.uri
        if isinstance(started.error, RefuseStart):
            raise FailedPrecondition(str(started.error), bare=True) from started.error
        if uri in self._required:
            raise FailedPrecondition(f"load required plugin {uri}: {started.error}", bare=True) from started.error
        if started.init.readiness:
            raise FailedPrecondition(
                f"plugin {uri} failed after registering readiness: {started.error}", bare=True
            ) from started.error

    async def serve(self) -> None:
        """Starts the servers in order, then calls what waited for that."""
        servers: dict[str, Server] = self.plugins.all(types.SERVER)
        for server in servers.values():
            self._stack.push_async_callback(server.stop)
            await server.serve()
        for started in self._healthy():
            for hook in started.init.after_serving:
                await hook()

    async def wait_ready(self) -> None:
        """Returns when every plugin that said so is ready."""
        for started in self._healthy():
            for ready in started.init.readiness:
                await ready()

    def _healthy(self) -> list[Started]:
        return [started for started in self.plugins.started() if started.error is None]


def _log_failure(started: Started, about: dict[str, str]) -> None:
    if started.skipped:
        _LOG.info("skip loading plugin", extra=fields(error=started.error, **about))
        return
    _LOG.warning("failed to load plugin", extra=fields(error=started.error, **about))
    if not isinstance(started.error, Error):
        _LOG.debug("where the plugin failed", exc_info=started.error, extra=fields(**about))
