"""Files of versions 1 to 3, as stock's tools and distributions wrote them, brought to version 4.

Each step takes the plain values of a file and changes them in place. Version 1 named plugins by their id alone;
version 3 split the CRI plugin; version 4 made plugins of the servers. See behaviour of `containerd config migrate`.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from pycontainerd.config.model import VERSION
from pycontainerd.plugin import types

Table = dict[str, Any]

_LOG: Final = logging.getLogger(__name__)

_TYPES_OF_IDS: Final = {
    "cri": types.GRPC,
    "cgroups": "io.containerd.monitor.v1",
    "linux": "io.containerd.runtime.v1",
    "scheduler": types.GC,
    "bolt": types.METADATA,
    "task": types.RUNTIME,
    "opt": types.INTERNAL,
    "restart": types.INTERNAL,
    "tracing": types.INTERNAL,
    "otlp": types.TRACING_PROCESSOR,
    "aufs": types.SNAPSHOTTER,
    "btrfs": types.SNAPSHOTTER,
    "devmapper": types.SNAPSHOTTER,
    "native": types.SNAPSHOTTER,
    "overlayfs": types.SNAPSHOTTER,
    "zfs": types.SNAPSHOTTER,
    "windows": types.SNAPSHOTTER,
    "windows-lcow": types.SNAPSHOTTER,
}
_CRI: Final = f"{types.GRPC}.cri"
_CRI_IMAGES: Final = f"{types.CRI}.images"
_CRI_RUNTIME: Final = f"{types.CRI}.runtime"
_CRI_STAYS: Final = frozenset(
    {
        "disable_tcp_service",
        "stream_server_address",
        "stream_server_port",
        "stream_idle_timeout",
        "enable_tls_streaming",
        "x509_key_pair_streaming",
    }
)
_CRI_TO_IMAGES: Final = (
    "registry",
    "image_decryption",
    "max_concurrent_downloads",
    "image_pull_progress_timeout",
    "image_pull_with_sync_fs",
    "stats_collect_period",
)
_CONTAINERD_TO_IMAGES: Final = ("snapshotter", "disable_snapshot_annotations", "discard_unpacked_layers")
_SERVER: Final = types.SERVER


def migrate(file: Table) -> None:
    """Brings *file*, the values of one config.toml, from its version to the newest."""
    version = max(file.get("version", 0), 1)
    while version < VERSION:
        if version == 1:
            _expand_names(file)
        elif version == 3:
            _move_servers(file)
        _move_plugins(file.setdefault("plugins", {}), version)
        version += 1
    file["version"] = VERSION


def _expand_names(file: Table) -> None:
    for key in ("disabled_plugins", "required_plugins"):
        if key in file:
            file[key] = [_full_name(name) for name in file[key]]
    plugins = file.get("plugins", {})
    file["plugins"] = {_full_name(name): section for name, section in sorted(plugins.items())}


def _full_name(name: str) -> str:
    if "." in name:
        return name
    if name in _TYPES_OF_IDS:
        return f"{_TYPES_OF_IDS[name]}.{name}"
    if name.endswith("-service"):
        return f"{types.SERVICE}.{name}"
    full = f"{types.GRPC}.{name}"
    _LOG.warning("Ambiguous %s plugin in v1 config, treating as %s", name, full)
    return full


def _move_plugins(plugins: Table, version: int) -> None:
    _rename(plugins, "io.containerd.monitor.v1.cgroups", f"{types.MONITOR_TASK}.cgroups")
    _rename(plugins, f"{types.INTERNAL}.restart", f"{types.MONITOR_CONTAINER}.restart")
    _move_sched_core(plugins)
    if version < 4 and _CRI in plugins:
        _split_cri(plugins)


def _rename(plugins: Table, old: str, new: str) -> None:
    if old in plugins:
        plugins[new] = plugins.pop(old)


def _move_sched_core(plugins: Table) -> None:
    """Core scheduling became an environment of shims. A section of the shims' manager is lost by this, as in stock."""
    task = plugins.get(f"{types.RUNTIME}.task")
    if task is not None:
        plugins[f"{types.SHIM}.manager"] = {"env": ["SCHED_CORE=1"]} if task.pop("sched_core", False) else {}


def _split_cri(plugins: Table) -> None:
    old: Table = plugins[_CRI]
    images: Table = plugins.setdefault(_CRI_IMAGES, {})
    runtime: Table = plugins.setdefault(_CRI_RUNTIME, {})
    if "sandbox_image" in old:
        images.setdefault("pinned_images", {})["sandbox"] = old["sandbox_image"]
    for key in _CRI_TO_IMAGES:
        if key in old:
            images[key] = old[key]
    containerd = old.get("containerd", {})
    if "runtimes" in containerd:
        for key in _CONTAINERD_TO_IMAGES:
            if key in containerd:
                images[key] = containerd[key]
    for key in old.keys() - _CRI_STAYS - set(_CRI_TO_IMAGES) - {"sandbox_image"}:
        runtime[key] = _runtime_value(key, old[key])
    plugins[_CRI] = {key: value for key, value in old.items() if key in _CRI_STAYS}


def _runtime_value(key: str, value: Any) -> Any:
    if key == "cni" and "bin_dir" in value:
        return {name: it for name, it in value.items() if name != "bin_dir"} | {"bin_dirs": [value["bin_dir"]]}
    if key == "containerd":
        kept = {name: it for name, it in value.items() if name not in _CONTAINERD_TO_IMAGES}
        runtimes = {name: _runtime(runtime) for name, runtime in value.get("runtimes", {}).items()}
        return kept | ({"runtimes": runtimes} if "runtimes" in value else {})
    return value


def _runtime(runtime: Table) -> Table:
    """`sandbox_mode` is `sandboxer` since version 3."""
    if "sandbox_mode" not in runtime:
        return runtime
    return {key: it for key, it in runtime.items() if key != "sandbox_mode"} | {"sandboxer": runtime["sandbox_mode"]}


def _move_servers(file: Table) -> None:
    plugins: Table = file.setdefault("plugins", {})
    grpc, ttrpc, metrics = file.pop("grpc", {}), file.pop("ttrpc", {}), file.pop("metrics", {})
    debug = file.get("debug", {})
    sizes = _set(grpc, "max_recv_message_size", "max_send_message_size")
    _found(plugins, f"{_SERVER}.grpc", (_owned(grpc) or _set(grpc, "uid", "gid")) | sizes)
    if grpc.get("tcp_address"):
        names = ("tcp_address", "tcp_tls_ca", "tcp_tls_cert", "tcp_tls_key", "tcp_tls_common_name")
        tcp = {name.removeprefix("tcp_"): value for name, value in _set(grpc, *names).items()}
        _found(plugins, f"{_SERVER}.grpc-tcp", tcp | sizes)
    _found(plugins, f"{_SERVER}.ttrpc", _ttrpc(grpc, ttrpc))
    if debug.get("address"):
        _found(plugins, f"{_SERVER}.debug", _owned(debug))
        for key in ("address", "uid", "gid"):
            debug.pop(key, None)
    _found(plugins, f"{_SERVER}.metrics", _set(metrics, "address"))
    _found(plugins, f"{types.METRICS}.grpc-prometheus", _set(metrics, "grpc_histogram"))


def _ttrpc(grpc: Table, ttrpc: Table) -> Table:
    """The ttrpc socket follows the main one unless it was told its own place."""
    if not any(ttrpc.values()):
        section = _owned(grpc)
    else:
        section = {"address": ttrpc.get("address", ""), "uid": ttrpc.get("uid", 0), "gid": ttrpc.get("gid", 0)}
    if section and not ttrpc.get("address") and grpc.get("address"):
        section["address"] = f"{grpc['address']}.ttrpc"
    return section


def _owned(table: Table) -> Table:
    """A socket with its owner, if *table* says where it is; an owner that is not told is root."""
    if not table.get("address"):
        return {}
    return {"address": table["address"], "uid": table.get("uid", 0), "gid": table.get("gid", 0)}


def _set(table: Table, *keys: str) -> Table:
    return {key: table[key] for key in keys if table.get(key)}


def _found(plugins: Table, uri: str, section: Table) -> None:
    """Makes the section *uri* unless the file has one."""
    if section:
        plugins.setdefault(uri, section)
