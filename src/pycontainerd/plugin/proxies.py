"""Plugins that another process serves, `[proxy_plugins.<id>]`, registered by their type and id.

What they are made of is loaded when there is one.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pycontainerd.config.model import PROXY_TYPES, ProxyPlugin
from pycontainerd.log import fields
from pycontainerd.oci import platforms
from pycontainerd.plugin import types
from pycontainerd.plugin.registration import Init, Registration

_LOG: Final = logging.getLogger(__name__)
_MAKERS: Final = {
    types.SNAPSHOTTER: "snapshotter",
    types.CONTENT: "content",
    types.DIFFER: "differ",
    types.SANDBOX_CONTROLLER: "sandbox",
}


def proxies(configured: Mapping[str, ProxyPlugin]) -> Iterator[Registration]:
    """A registration for each proxy of a type that can be one; others are warned of."""
    shared: dict[str, Any] = {}
    for id_, proxy in configured.items():
        type_ = PROXY_TYPES.get(proxy.type)
        if type_ is None:
            _LOG.warning("unknown proxy plugin type", extra=fields(type=proxy.type, id=id_))
        else:
            yield _registration(type_, id_, proxy, shared)


def _registration(type_: str, id_: str, proxy: ProxyPlugin, shared: dict[str, Any]) -> Registration:
    """*shared* are the remotes by their addresses, made by the first proxy that names one."""

    async def start(init: Init) -> Any:
        init.exports.update(proxy.exports or {}, address=proxy.address)
        init.capabilities.extend(proxy.capabilities)
        init.platforms.append(proxy.platform or platforms.format_platform(platforms.host()))
        remote = shared.get(proxy.address)
        if remote is None:
            remote = shared[proxy.address] = importlib.import_module("pycontainerd.proxies.remote").Remote(
                proxy.address
            )
            init.stack.push_async_callback(remote.close)
        return importlib.import_module("pycontainerd.proxies.making").PROXIES[_MAKERS[type_]](
            remote, id_, proxy.capabilities
        )

    return Registration(type_, id_, (), None, start, replaces=True)
