"""The whole configuration as `containerd config` prints it: the daemon's keys, then every plugin's section."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec.structs

from pycontainerd.config.decode import decode, encode
from pycontainerd.config.load import Section
from pycontainerd.config.model import PROXY_TYPES, File, ProxyPlugin
from pycontainerd.config.toml import dumps


def dump(file: File, sections: Sequence[Section]) -> str:
    """*file* with the sections of all plugins that *sections* declares, those that are disabled excepted.

    A section that no plugin declares is printed as it was read.
    """
    plugins: dict[str, Any] = dict(file.plugins)
    for section in sections:
        if section.config is not None and section.uri not in file.disabled_plugins:
            plugins[section.uri] = decode(plugins.get(section.uri, {}), section.config)
    proxies = {name: _with_address(proxy) for name, proxy in file.proxy_plugins.items()}
    return dumps(encode(msgspec.structs.replace(file, plugins=plugins, proxy_plugins=proxies)))


def _with_address(proxy: ProxyPlugin) -> ProxyPlugin:
    """A proxy plugin exports its address beside what it was told to export."""
    if proxy.exports is None or proxy.type not in PROXY_TYPES:
        return proxy
    return msgspec.structs.replace(proxy, exports={**proxy.exports, "address": proxy.address})
