"""Plugins that another process serves, `[proxy_plugins.<id>]`.

They are registered by their type and id, with what they export. Calls are not passed on in this version: they are
skipped, so that a snapshotter of that name is reported as missing and not as broken.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Final

from pycontainerd.config.model import PROXY_TYPES, ProxyPlugin
from pycontainerd.log import fields
from pycontainerd.oci import platforms
from pycontainerd.plugin.registration import Init, Registration, SkipPlugin, plugin

_LOG: Final = logging.getLogger(__name__)


def proxies(configured: Mapping[str, ProxyPlugin]) -> Iterator[Registration]:
    """A registration for each proxy of a type that can be one; others are warned of."""
    for id_, proxy in configured.items():
        type_ = PROXY_TYPES.get(proxy.type)
        if type_ is None:
            _LOG.warning("unknown proxy plugin type", extra=fields(type=proxy.type, id=id_))
        else:
            yield _registration(type_, id_, proxy)


def _registration(type_: str, id_: str, proxy: ProxyPlugin) -> Registration:
    @plugin(type_, id_)
    async def start(init: Init) -> None:
        init.exports.update(proxy.exports or {}, address=proxy.address)
        init.capabilities.extend(proxy.capabilities)
        init.platforms.append(proxy.platform or platforms.format_platform(platforms.host()))
        raise SkipPlugin("proxies are not part of this version")

    return start
