"""The plugins of this folder."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from pycontainerd.daemon.watchdog import LoopWatchdog
from pycontainerd.errors import InvalidArgument
from pycontainerd.plugin import types
from pycontainerd.plugin.registration import Init, Server, SkipPlugin, plugin
from pycontainerd.rpc.asyncio_driver import AsyncioDriver
from pycontainerd.rpc.grpc.server import GrpcConnection
from pycontainerd.rpc.ttrpc.server import TtrpcServerConnection
from pycontainerd.servers.collect import grpc_table, tcp_table, ttrpc_table
from pycontainerd.servers.config import DebugConfig, GrpcConfig, GrpcTcpConfig, MetricsConfig, TtrpcConfig
from pycontainerd.servers.stream import TcpServer, UnixServer, tls_context

if TYPE_CHECKING:
    from pycontainerd.servers.http import Answer

KEEPALIVE_S: Final = 7200.0
"""Seconds of silence after which a TCP client is asked for a sign of life."""

log: Final = logging.getLogger(__name__)


@plugin(types.SERVER, "metrics", config=MetricsConfig)
async def metrics(init: Init) -> Server:
    """`GET /v1/metrics` over TCP, if an address is configured."""
    config: MetricsConfig = init.config
    if not config.address:
        raise SkipPlugin
    from pycontainerd.servers import observed
    from pycontainerd.servers.exposition import exposition
    from pycontainerd.servers.http import HttpServer

    async def answer() -> Answer:
        return exposition([metric async for metric in observed.metrics(init.plugins)])

    return HttpServer(config.address, {"/v1/metrics": answer})


@plugin(types.SERVER, "ttrpc", requires=[types.TTRPC, types.GRPC], config=TtrpcConfig)
async def ttrpc(init: Init) -> Server:
    """The socket that shims send their events to; only our own user may connect."""
    config: TtrpcConfig = init.config
    if not config.address:
        raise SkipPlugin
    driver, table = AsyncioDriver(), ttrpc_table(init.plugins)

    def connection() -> TtrpcServerConnection:
        return TtrpcServerConnection(table, driver, on_defect=_log_defect)

    what = "main ttrpc endpoint"
    return UnixServer(config.address, driver, connection, uid=config.uid, gid=config.gid, what=what)


@plugin(types.SERVER, "grpc", requires=[types.GRPC, types.METRICS], config=GrpcConfig)
async def grpc(init: Init) -> Server:
    """The main socket."""
    config: GrpcConfig = init.config
    if not config.address:
        raise InvalidArgument("grpc address cannot be empty", bare=True)
    driver, table = AsyncioDriver(), grpc_table(init.plugins)

    def connection() -> GrpcConnection:
        return GrpcConnection(
            table, driver, message_limit=config.max_recv_message_size, send_limit=config.max_send_message_size
        )

    return UnixServer(config.address, driver, connection, uid=config.uid, gid=config.gid, what="main endpoint")


@plugin(types.SERVER, "grpc-tcp", requires=[types.GRPC, types.METRICS], config=GrpcTcpConfig)
async def grpc_tcp(init: Init) -> Server:
    """Services that opt in, over TCP, with TLS where it is configured."""
    config: GrpcTcpConfig = init.config
    if not config.address:
        raise SkipPlugin
    driver, table = AsyncioDriver(), tcp_table(init.plugins)
    if not any(table):
        raise SkipPlugin("no tcp grpc services configured")
    tls = tls_context(config.tls_cert, config.tls_key, config.tls_ca) if config.tls_cert else None
    if config.tls_common_name and not (tls and config.tls_ca):
        raise InvalidArgument("tls_common_name: clients show certificates only with tls_ca and tls_cert")

    def connection() -> GrpcConnection:
        return GrpcConnection(
            table,
            driver,
            message_limit=config.max_recv_message_size,
            send_limit=config.max_send_message_size,
            keepalive_s=KEEPALIVE_S,
        )

    return TcpServer(config.address, driver, connection, tls=tls, common_name=config.tls_common_name)


@plugin(types.HTTP, "pprof")
async def pprof(init: Init) -> Mapping[str, Callable[[], Answer]]:
    """What can be looked at while the daemon runs. The profiles of Go programs have no counterpart."""
    from pycontainerd.servers.observed import variables

    watchdog = LoopWatchdog(asyncio.get_running_loop())
    watchdog.start()
    init.stack.callback(watchdog.stop)
    return {"/debug/vars": lambda: variables(watchdog)}


@plugin(types.SERVER, "debug", requires=[types.HTTP], config=DebugConfig)
async def debug(init: Init) -> Server:
    """The endpoints of `http.v1` plugins, if an address is configured."""
    config: DebugConfig = init.config
    if not config.address:
        raise SkipPlugin
    from pycontainerd.servers.http import HttpServer

    routes = {path: answer for offered in init.plugins.all(types.HTTP).values() for path, answer in offered.items()}
    return HttpServer(config.address, routes, uid=config.uid, gid=config.gid)


def _log_defect(path: str, error: BaseException) -> None:
    log.error("%s failed", path, exc_info=error)
