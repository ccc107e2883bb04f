"""The plugins of the content store: the backend on disk, the namespaced store, and its service."""

from __future__ import annotations

from typing import Final

from pycontainerd.content.local import LocalContent
from pycontainerd.content.service import ContentService
from pycontainerd.content.store import ContentStore
from pycontainerd.plugin import types
from pycontainerd.plugin.registration import Init, plugin
from pycontainerd.threads import Threads

_THREADS: Final = 8
"""Large writes take two each; more would only queue in the kernel."""


@plugin(types.CONTENT, "content")
async def content(init: Init) -> LocalContent:
    threads = init.stack.enter_context(Threads("content", most=_THREADS))
    init.exports["root"] = str(init.root)
    return LocalContent(init.root, threads, init.clock)


@plugin(types.SERVICE, "content-service", requires=[types.METADATA])
async def content_service(init: Init) -> ContentStore:
    store: ContentStore = init.plugins.single(types.METADATA).content
    return store


@plugin(types.GRPC, "content", requires=[types.SERVICE])
async def service(init: Init) -> ContentService:
    return ContentService(init.plugins.by_id(types.SERVICE, "content-service"))
