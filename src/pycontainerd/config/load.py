"""Reading config.toml and what it imports."""

from __future__ import annotations

import glob
import logging
import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final, Protocol

from msgspec import Struct

from pycontainerd.config import model
from pycontainerd.config.decode import Path as KeyPath
from pycontainerd.config.decode import decode
from pycontainerd.config.merge import merge
from pycontainerd.config.migrate import migrate
from pycontainerd.config.model import VERSION, File
from pycontainerd.errors import InvalidArgument, NotFound
from pycontainerd.log import fields

_LOG: Final = logging.getLogger(__name__)
_UNKNOWN: Final = "strict mode: fields in the document are missing in the target struct"
_WHERE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")


class Section(Protocol):
    """A plugin that has a section, as far as reading goes."""

    @property
    def uri(self) -> str: ...

    @property
    def config(self) -> type[Any] | None: ...


class Source(Struct, frozen=True):
    """One file after migration, as its own values say it; *version* is that of the text."""

    path: str
    version: int
    file: File


def load(path: str, sections: Sequence[Section], *, lenient: bool = False) -> File:
    """The file *path* and what it imports, each file once, over the defaults.

    Sections of the plugins that *sections* declares are checked, unless the plugin is disabled. A pattern that
    matches nothing is fine; a file that does not exist is an error, except imports when *lenient*. Raises NotFound
    for a file that can't be read, and InvalidArgument that names the file, the key and the reason.
    """
    sources = list(_sources(path, lenient=lenient))
    merged = model.defaults()
    for source in sources:
        merged = merge(merged, source.file)
    for source in sources:
        _check_sections(source, [section for section in sections if section.uri not in merged.disabled_plugins])
    return merged


def _sources(path: str, *, lenient: bool) -> Iterator[Source]:
    pending, seen, newest = [path], set[str](), 0
    while pending:
        name = pending.pop(0)
        if name in seen:
            continue
        if seen and lenient and not os.path.exists(name):
            return  # stock reads no further here, and prints what it has
        seen.add(name)
        source = read(name)
        newest = newest or source.version
        if source.version > newest:
            text = f"drop-in config version {source.version} higher than root config version {newest}"
            raise InvalidArgument(f"{source.path}: {text}", bare=True)
        yield source
        pending += _imports(source)


def _imports(source: Source) -> Iterator[str]:
    for pattern in source.file.imports:
        full = os.path.normpath(os.path.join(os.path.dirname(source.path), pattern))
        if "*" in pattern:
            yield from sorted(glob.glob(full, include_hidden=True))
        else:
            yield full


def read(path: str) -> Source:
    """Reads and migrates the file *path*. Raises as `load` does."""
    try:
        with open(path, "rb") as stream:
            data = stream.read()
    except OSError as error:
        raise NotFound(f"open {path}: {(error.strerror or str(error)).lower()}", bare=True) from error
    try:
        return _parse(data, path)
    except InvalidArgument as error:
        raise error.within(f"failed to load TOML from {path}") from None


def _parse(data: bytes, path: str) -> Source:
    file = decode(_values(data), File, unknown=partial(_warn, file=path))
    version = file.version
    if version > VERSION:
        text = f"expected containerd config version equal to or less than `{VERSION}`, got `{version}`"
        raise InvalidArgument(text, bare=True)
    if version < 0:
        raise InvalidArgument(f"version: expected a number from 0 to {VERSION}, got {version}", bare=True)
    if version < VERSION:
        file = migrate(file)
        _LOG.warning(
            "Configuration migrated from version %d, use `containerd config migrate` to avoid migration",
            version,
            extra=fields(file=path),
        )
    for key, uris in (("disabled", file.disabled_plugins), ("required", file.required_plugins)):
        for uri in uris:
            if "." not in uri:
                raise InvalidArgument(f'invalid {key} plugin URI "{uri}" expect io.containerd.x.vx', bare=True)
    return Source(path, version, file)


def _values(data: bytes) -> dict[str, Any]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"failed to unmarshal TOML: not UTF-8 at byte {error.start}", bare=True) from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(str(error), text) from None


def _syntax_error(message: str, text: str) -> InvalidArgument:
    match = _WHERE.search(message)
    reason = message[: match.start()] if match else message
    if match and match[1]:
        row, column = match[1], match[2]
    else:
        lines = text.splitlines() or [""]
        row, column = str(len(lines)), str(len(lines[-1]) + 1)
    return InvalidArgument(f"failed to unmarshal TOML at row {row} column {column}: {reason}", bare=True)


def _check_sections(source: Source, sections: Sequence[Section]) -> None:
    """Refuses a wrong type while it is known which file has it, and tells of keys that no plugin reads."""
    for section in sections:
        raw = source.file.plugins.get(section.uri)
        if raw is None or section.config is None:
            continue
        warn = partial(_warn, file=source.path, plugin=section.uri)
        try:
            decode(raw, section.config, at=("plugins", section.uri), unknown=warn)
        except InvalidArgument as error:
            raise error.within(f"failed to load TOML from {source.path}") from None


def _warn(key: KeyPath, **about: str) -> None:
    whose = " for plugin" if "plugin" in about else ""
    _LOG.warning("Ignoring unknown key in TOML%s", whose, extra=fields(error=_UNKNOWN, key=" ".join(key), **about))
