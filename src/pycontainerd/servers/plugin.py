"""The plugins of this folder."""

from __future__ import annotations

from pycontainerd.plugin import types
from pycontainerd.plugin.registration import Init, SkipPlugin, plugin
from pycontainerd.servers.config import DebugConfig, GrpcConfig, GrpcTcpConfig, MetricsConfig, TtrpcConfig


@plugin(types.SERVER, "metrics", config=MetricsConfig)
async def metrics(init: Init) -> None:
    raise SkipPlugin


@plugin(types.SERVER, "ttrpc", requires=[types.TTRPC, types.GRPC], config=TtrpcConfig)
async def ttrpc(init: Init) -> None:
    raise SkipPlugin


@plugin(types.SERVER, "grpc", requires=[types.GRPC, types.METRICS], config=GrpcConfig)
async def grpc(init: Init) -> None:
    raise SkipPlugin


@plugin(types.SERVER, "grpc-tcp", requires=[types.GRPC, types.METRICS], config=GrpcTcpConfig)
async def grpc_tcp(init: Init) -> None:
    raise SkipPlugin


@plugin(types.SERVER, "debug", requires=[types.HTTP], config=DebugConfig)
async def debug(init: Init) -> None:
    raise SkipPlugin
