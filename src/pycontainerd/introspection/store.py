"""What the daemon knows of its plugins and of itself."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pycontainerd.errors import FailedPrecondition, Internal, NotFound, Unimplemented
from pycontainerd.ids import Ids
from pycontainerd.introspection.deprecations import Deprecations, Warned
from pycontainerd.plugin.registration import Plugins, Started


class Introspection:
    """Answers about the running daemon; *directory* is where its identity is kept."""

    def __init__(self, plugins: Plugins, deprecations: Deprecations, directory: Path, ids: Ids) -> None:
        self._plugins = plugins
        self._deprecations = deprecations
        self._directory = directory
        self._ids = ids
        self._uuid: str | None = None
        self._making = asyncio.Lock()

    def plugins(self) -> Sequence[Started]:
        """All plugins in the order of their start, with those that were skipped or failed."""
        return self._plugins.started()

    def warnings(self) -> list[Warned]:
        return self._deprecations.warnings()

    async def server_uuid(self) -> str:
        """The identity of this root, made when it is first asked for. Raises Internal if its file holds no UUID."""
        async with self._making:
            if self._uuid is None:
                self._uuid = await asyncio.to_thread(self._read_or_make)
            return self._uuid

    def _read_or_make(self) -> str:
        path = self._directory / "uuid"
        try:
            text = path.read_text()
        except FileNotFoundError:
            return self._make(path)
        try:
            return str(uuid.UUID(text.strip()))
        except ValueError:
            raise Internal(f"{path}: {text[:80]!r} is no UUID") from None

    def _make(self, path: Path) -> str:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = self._ids.uuid()
        part = path.with_name(f".{path.name}")
        with part.open("w") as file:
            file.write(made)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
        return made

    async def plugin_info(self, type_: str, id_: str, options: Any) -> tuple[Started, Any]:
        """A plugin and what it says of itself, given *options* (an Any, or None).

        Raises NotFound without such a plugin, FailedPrecondition if it has options to answer but did not start,
        Unimplemented if it has nothing to say.
        """
        for started in self._plugins.started():
            registration = started.registration
            if (registration.type, registration.id) == (type_, id_):
                return started, await _info(started, options)
        raise NotFound(f"plugin {type_}.{id_}")


async def _info(started: Started, options: Any) -> Any:
    if options is None:
        return None
    uri = started.registration.uri
    if started.error is not None:
        raise FailedPrecondition(f"plugin {uri} did not start, so it has no information: {started.error}")
    ask = getattr(started.instance, "plugin_info", None)
    if ask is None:
        raise Unimplemented(f"plugin {uri} has no information beyond its registration")
    return await ask(options)
