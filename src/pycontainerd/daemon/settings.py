"""The configuration as a daemon runs on it: the files, and over them the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec.structs
from msgspec import Struct

from pycontainerd.config.decode import decode
from pycontainerd.config.duration import Duration
from pycontainerd.config.model import File
from pycontainerd.errors import InvalidArgument
from pycontainerd.plugin import types
from pycontainerd.plugin.registration import Registration, StreamProcessor
from pycontainerd.plugin.sections import DEFAULT_SOCKET_DIR, ShimManager
from pycontainerd.servers.config import GrpcConfig, TtrpcConfig

_GRPC = f"{types.SERVER}.grpc"
_TTRPC = f"{types.SERVER}.ttrpc"
_SHIMS = f"{types.SHIM}.manager"


class Overrides(Struct, frozen=True):
    """What the command line says; it beats the files. Empty means that it says nothing."""

    root: str = ""
    state: str = ""
    address: str = ""
    log_level: str = ""

    def over(self, file: File) -> File:
        """*file* with these in it. A ttrpc socket that no file places follows the main one."""
        plugins: dict[str, Any] = dict(file.plugins)
        if self.address:
            plugins[_GRPC] = {**plugins.get(_GRPC, {}), "address": self.address}
            if _TTRPC not in plugins:
                grpc = decode(plugins[_GRPC], GrpcConfig)
                plugins[_TTRPC] = {"address": f"{self.address}.ttrpc", "uid": grpc.uid, "gid": grpc.gid}
        return msgspec.structs.replace(
            file,
            root=os.path.abspath(self.root or file.root),
            state=os.path.abspath(self.state or file.state),
            debug=msgspec.structs.replace(file.debug, level=self.log_level or file.debug.level),
            plugins=plugins,
        )


class Settings(Struct, frozen=True):
    """What plugins and servers need of the configuration, ready to use."""

    file: File
    root: Path
    state: Path
    address: str
    ttrpc_address: str
    timeouts: Mapping[str, float]
    stream_processors: Mapping[str, StreamProcessor]

    @classmethod
    def of(cls, file: File) -> Settings:
        """Raises InvalidArgument for paths and durations that can't be meant."""
        if file.root == file.state:
            raise InvalidArgument("root and state must be different paths", bare=True)
        return cls(
            file=file,
            root=Path(file.root),
            state=Path(file.state),
            address=decode(file.plugins.get(_GRPC, {}), GrpcConfig).address,
            ttrpc_address=decode(file.plugins.get(_TTRPC, {}), TtrpcConfig).address,
            timeouts={name: _seconds(name, text) for name, text in file.timeouts.items()},
            stream_processors={
                name: StreamProcessor(it.accepts, it.returns, it.path, it.args, it.env)
                for name, it in file.stream_processors.items()
            },
        )

    @property
    def socket_dir(self) -> str:
        """Where the sockets of shims and of the spawner lie."""
        section = decode(self.file.plugins.get(_SHIMS, {}), ShimManager)
        return section.socket_dir or DEFAULT_SOCKET_DIR

    def section(self, registration: Registration) -> Any:
        """What *registration*'s plugin is configured with, or None if it takes no configuration."""
        if registration.config is None:
            return None
        return decode(self.file.plugins.get(registration.uri, {}), registration.config)


def _seconds(name: str, text: str) -> float:
    try:
        return Duration.parse(text).seconds
    except InvalidArgument as error:
        raise InvalidArgument(
            f"unable to parse {text} into a time duration: timeouts.'{name}': {error.message}", bare=True
        ) from None
