"""Plugins of stock that are not built yet: known, configurable, and skipped.

When one is built, its line in `builtin` names the real thing, and its line here goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pycontainerd.cri import config as cri
from pycontainerd.oci import platforms
from pycontainerd.plugin import sections, types
from pycontainerd.plugin.registration import Init, Registration, SkipPlugin, plugin


def _later(
    type_: str, id_: str, *, requires: Sequence[str] = (), config: type[Any] | None = None, on_host: bool = False
) -> Registration:
    @plugin(type_, id_, requires=requires, config=config)
    async def skip(init: Init) -> None:
        if on_host:
            init.platforms.append(platforms.format_platform(platforms.host()))
        raise SkipPlugin("not part of this version")

    return skip


image_verifier_bindir = _later(types.IMAGE_VERIFIER, "bindir", config=sections.Bindir)
snapshotter_blockfile = _later(types.SNAPSHOTTER, "blockfile", config=sections.Blockfile, on_host=True)
snapshotter_btrfs = _later(types.SNAPSHOTTER, "btrfs", config=sections.RootPath, on_host=True)
snapshotter_devmapper = _later(types.SNAPSHOTTER, "devmapper", config=sections.Devmapper, on_host=True)
snapshotter_erofs = _later(types.SNAPSHOTTER, "erofs", config=sections.ErofsSnapshotter, on_host=True)
snapshotter_zfs = _later(types.SNAPSHOTTER, "zfs", config=sections.RootPath, on_host=True)
tracing_processor_otlp = _later(types.TRACING_PROCESSOR, "otlp", config=sections.Empty)
internal_tracing = _later(types.INTERNAL, "tracing", requires=[types.TRACING_PROCESSOR], config=sections.Empty)
nri_nri = _later(types.NRI, "nri", requires=[types.INTERNAL, types.WARNING], config=sections.Nri)
ttrpc_otelttrpc = _later(types.TTRPC, "otelttrpc")
differ_erofs = _later(types.DIFFER, "erofs", requires=[types.METADATA], config=sections.Erofs)
cri_images = _later(
    types.CRI,
    "images",
    requires=[
        types.LEASE,
        types.METADATA,
        types.SANDBOX_STORE,
        types.SERVICE,
        types.SNAPSHOTTER,
        types.TRANSFER,
        types.WARNING,
    ],
    config=cri.ImagesConfig,
)
cri_runtime = _later(types.CRI, "runtime", requires=[types.WARNING], config=cri.RuntimeConfig, on_host=True)
podsandbox_controller_podsandbox = _later(
    types.POD_SANDBOX_CONTROLLER,
    "podsandbox",
    requires=[types.EVENT, types.LEASE, types.SANDBOX_STORE, types.TRANSFER, types.CRI, types.SERVICE, types.WARNING],
)
grpc_cri = _later(
    types.GRPC,
    "cri",
    requires=[
        types.CRI,
        types.POD_SANDBOX_CONTROLLER,
        types.SANDBOX_CONTROLLER,
        types.NRI,
        types.EVENT,
        types.SERVICE,
        types.LEASE,
        types.SANDBOX_STORE,
        types.TRANSFER,
        types.WARNING,
        types.SHIM,
    ],
    config=cri.ServiceConfig,
)
metrics_grpc_prometheus = _later(
    types.METRICS, "grpc-prometheus", requires=[types.GRPC], config=sections.GrpcPrometheus
)
metrics_grpc_otel = _later(types.METRICS, "grpc-otel", requires=[types.GRPC])
