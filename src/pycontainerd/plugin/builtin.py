"""The built-in plugins, in the order in which stock registers its own.

From this order and from what the plugins require follows that in which they start, whichever are disabled. A line
names a registration as `module:attribute`; the daemon imports the modules in this order. A plugin that is not built
stands here as `pycontainerd.plugin.later:…`, so that its place, its needs and its configuration are known.
"""

from __future__ import annotations

import importlib
from typing import Final

from pycontainerd.plugin.registration import Registration

BUILTIN: Final = (
    "pycontainerd.content.plugin:content",
    "pycontainerd.plugin.later:image_verifier_bindir",
    "pycontainerd.plugin.opt:opt",
    "pycontainerd.introspection.plugin:deprecations",
    "pycontainerd.events.plugin:exchange",
    "pycontainerd.activations.plugin:erofs",
    "pycontainerd.plugin.later:snapshotter_blockfile",
    "pycontainerd.plugin.later:snapshotter_btrfs",
    "pycontainerd.plugin.later:snapshotter_devmapper",
    "pycontainerd.plugin.later:snapshotter_erofs",
    "pycontainerd.snapshots.plugin:native_snapshotter",
    "pycontainerd.snapshots.plugin:overlayfs_snapshotter",
    "pycontainerd.plugin.later:snapshotter_zfs",
    "pycontainerd.monitoring.plugin:cgroups",
    "pycontainerd.metadata.plugin:scheduler",
    "pycontainerd.servers.plugin:metrics",
    "pycontainerd.plugin.later:nri_nri",
    "pycontainerd.servers.plugin:ttrpc",
    "pycontainerd.plugin.later:differ_erofs",
    "pycontainerd.diff.plugin:walking",
    "pycontainerd.leases.plugin:manager",
    "pycontainerd.activations.plugin:bolt",
    "pycontainerd.containers.plugin:containers_service",
    "pycontainerd.content.plugin:content_service",
    "pycontainerd.diff.plugin:diff_service",
    "pycontainerd.images.plugin:images_service",
    "pycontainerd.metadata.plugin:bolt",
    "pycontainerd.introspection.plugin:introspection_service",
    "pycontainerd.namespaces.plugin:namespaces_service",
    "pycontainerd.snapshots.plugin:snapshots_service",
    "pycontainerd.tasks.plugin:tasks_service",
    "pycontainerd.containers.plugin:containers",
    "pycontainerd.content.plugin:service",
    "pycontainerd.diff.plugin:diff",
    "pycontainerd.events.plugin:events",
    "pycontainerd.images.plugin:images",
    "pycontainerd.introspection.plugin:introspection",
    "pycontainerd.leases.plugin:leases",
    "pycontainerd.activations.plugin:mounts",
    "pycontainerd.namespaces.plugin:namespaces",
    "pycontainerd.sandboxes.plugin:sandbox_controllers",
    "pycontainerd.sandboxes.plugin:local",
    "pycontainerd.sandboxes.plugin:sandboxes",
    "pycontainerd.snapshots.plugin:service",
    "pycontainerd.streaming.plugin:service",
    "pycontainerd.tasks.plugin:tasks",
    "pycontainerd.transfer.plugin:service",
    "pycontainerd.introspection.plugin:version",
    "pycontainerd.streaming.plugin:manager",
    "pycontainerd.transfer.plugin:local",
    "pycontainerd.runtime.plugin:manager",
    "pycontainerd.tasks.plugin:task",
    "pycontainerd.sandboxes.plugin:shim",
    "pycontainerd.restarts.plugin:restart",
    "pycontainerd.plugin.later:tracing_processor_otlp",
    "pycontainerd.plugin.later:internal_tracing",
    "pycontainerd.plugin.later:ttrpc_otelttrpc",
    "pycontainerd.introspection.plugin:healthcheck",
    "pycontainerd.plugin.later:grpc_cri",
    "pycontainerd.plugin.later:metrics_grpc_prometheus",
    "pycontainerd.plugin.later:metrics_grpc_otel",
    "pycontainerd.servers.plugin:grpc",
    "pycontainerd.servers.plugin:grpc_tcp",
    "pycontainerd.plugin.later:cri_images",
    "pycontainerd.plugin.later:cri_runtime",
    "pycontainerd.plugin.later:podsandbox_controller_podsandbox",
    "pycontainerd.servers.plugin:pprof",
    "pycontainerd.servers.plugin:debug",
)


def builtin() -> tuple[Registration, ...]:
    """The registrations that `BUILTIN` names, in its order."""
    return tuple(load(line) for line in BUILTIN)


def load(line: str) -> Registration:
    """The registration that *line*, a `module:attribute`, names."""
    module, _, attribute = line.partition(":")
    registration = getattr(importlib.import_module(module), attribute)
    if not isinstance(registration, Registration):
        raise TypeError(f"{line} is no registration of a plugin")
    return registration
