"""Files of versions 1 to 3, as stock's tools and distributions wrote them, brought to version 4.

Version 1 named plugins by their id alone; version 3 split the CRI plugin; version 4 made plugins of the servers. What
is made of each file equals what stock makes of it, its oddities included: tools compare.
"""

from __future__ import annotations

import copy
import logging
from typing import Any, Final

from msgspec.structs import replace

from pycontainerd.config.decode import is_empty, word
from pycontainerd.config.model import VERSION, Debug, File, Grpc, Metrics, Ttrpc
from pycontainerd.config.section import Section
from pycontainerd.errors import InvalidArgument
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


def migrate(file: File) -> File:
    """*file*, as it was written in a version before the newest, in the newest. Raises InvalidArgument for a table of
    the CRI plugin that is none."""
    plugins = copy.deepcopy(file.plugins)
    version = max(file.version, 1)
    if version == 1:
        plugins = {_full_name(name): section for name, section in sorted(plugins.items())}
        file = replace(
            file,
            disabled_plugins=tuple(map(_full_name, file.disabled_plugins)),
            required_plugins=tuple(map(_full_name, file.required_plugins)),
        )
    for _ in range(version, VERSION):
        _move_plugins(plugins)
    return replace(_move_servers(file, plugins), version=VERSION, plugins=plugins)


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


def _move_plugins(plugins: Table) -> None:
    """Done once for each version that is passed, as in stock: the second time undoes what the first said of shims."""
    _rename(plugins, "io.containerd.monitor.v1.cgroups", f"{types.MONITOR_TASK}.cgroups")
    _rename(plugins, f"{types.INTERNAL}.restart", f"{types.MONITOR_CONTAINER}.restart")
    _move_sched_core(plugins)
    if _CRI in plugins:
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
    cni, containerd = _table(old, "cni"), _table(old, "containerd")
    if "sandbox_image" in old:
        images["pinned_images"] = _table(images, "pinned_images") | {"sandbox": old["sandbox_image"]}
    for key in _CRI_TO_IMAGES:
        if key in old:
            images[key] = old[key]
    if "runtimes" in containerd:
        for key in _CONTAINERD_TO_IMAGES:
            if key in containerd:
                images[key] = containerd[key]
    for key in old.keys() - _CRI_STAYS - set(_CRI_TO_IMAGES) - {"sandbox_image"}:
        runtime[key] = _below(runtime.get(key), _runtime_value(key, old[key]))
    if "bin_dir" in cni:
        runtime["cni"] = _table(runtime, "cni") | {"bin_dirs": [cni["bin_dir"]]}
    plugins[_CRI] = {key: value for key, value in old.items() if key in _CRI_STAYS}


def _below(new: Any, old: Any) -> Any:
    """What the file says of a new section stays; of an old table only the keys that the new one lacks are taken."""
    if isinstance(new, dict) and isinstance(old, dict):
        return old | new
    return old if new is None else new


def _runtime_value(key: str, value: Any) -> Any:
    if key == "cni":
        return {name: it for name, it in value.items() if name != "bin_dir"}
    if key == "containerd":
        kept = {name: it for name, it in value.items() if name not in _CONTAINERD_TO_IMAGES}
        runtimes = {name: _runtime(runtime) for name, runtime in _table(value, "runtimes").items()}
        return kept | ({"runtimes": runtimes} if "runtimes" in value else {})
    return value


def _runtime(runtime: Any) -> Any:
    """`sandbox_mode` is `sandboxer` since version 3."""
    if not isinstance(runtime, dict) or "sandbox_mode" not in runtime:
        return runtime
    return {key: it for key, it in runtime.items() if key != "sandbox_mode"} | {"sandboxer": runtime["sandbox_mode"]}


def _table(section: Table, key: str) -> Table:
    value = section.get(key, {})
    if not isinstance(value, dict):
        raise InvalidArgument(f"plugins.'{_CRI}'.{key}: expected a table, got {word(type(value))}", bare=True)
    return value


def _move_servers(file: File, plugins: Table) -> File:
    """Makes sections of what stood at the top; *file* without it is returned."""
    grpc, ttrpc, debug, metrics = file.grpc, file.ttrpc, file.debug, file.metrics
    sizes = _set(grpc, "max_recv_message_size", "max_send_message_size")
    tcp = _set(grpc, "tcp_address", "tcp_tls_ca", "tcp_tls_cert", "tcp_tls_key", "tcp_tls_common_name")
    main = (_owned(grpc) if grpc.address else _set(grpc, "uid", "gid")) | sizes
    left = Grpc()
    _found(plugins, f"{types.SERVER}.grpc", main)
    if grpc.tcp_address:
        renamed = {key.removeprefix("tcp_"): value for key, value in tcp.items()}
        _found(plugins, f"{types.SERVER}.grpc-tcp", renamed | sizes)
    elif not main:
        left = grpc  # certificates of a server that is not there stay where they are
    if not is_empty(ttrpc) or grpc.address:
        _found(plugins, f"{types.SERVER}.ttrpc", _ttrpc(grpc, ttrpc))
    if debug.address:
        _found(plugins, f"{types.SERVER}.debug", _owned(debug))
        debug = replace(debug, address="", uid=0, gid=0)
    _found(plugins, f"{types.SERVER}.metrics", _set(metrics, "address"))
    _found(plugins, f"{types.METRICS}.grpc-prometheus", _set(metrics, "grpc_histogram"))
    return replace(file, grpc=left, ttrpc=Ttrpc(), debug=debug, metrics=Metrics())


def _ttrpc(grpc: Grpc, ttrpc: Ttrpc) -> Table:
    """The ttrpc socket follows the main one unless it was told its own place."""
    if ttrpc.address or not grpc.address:
        return _owned(ttrpc)
    return {"address": f"{grpc.address}.ttrpc", "uid": ttrpc.uid or grpc.uid, "gid": ttrpc.gid or grpc.gid}


def _owned(table: Grpc | Ttrpc | Debug) -> Table:
    """A socket with its owner; an owner that is not told is root."""
    return {"address": table.address, "uid": table.uid, "gid": table.gid}


def _set(table: Section, *keys: str) -> Table:
    return {key: value for key in keys if (value := getattr(table, key))}


def _found(plugins: Table, uri: str, section: Table) -> None:
    """Makes the section *uri* unless the file has one."""
    if section:
        plugins.setdefault(uri, section)
