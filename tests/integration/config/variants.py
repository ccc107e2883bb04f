"""Configuration files as people and tools have written them, in numbers: a seed gives always the same ones."""

from __future__ import annotations

import random
from typing import Any

from pycontainerd.config.toml import dumps

Table = dict[str, Any]
Keys = dict[str, tuple[Any, ...]]
"""Keys, each with the values that it may get."""

_SHORT = ("cri", "cgroups", "scheduler", "restart", "bolt", "task", "opt", "native", "overlayfs", "diff-service")
_TYPED: dict[str, Keys] = {
    "io.containerd.gc.v1.scheduler": {
        "pause_threshold": (0.05, 1, 0.0),
        "mutation_threshold": (7, 0, -1),
        "schedule_delay": ("1500ms", "0", "1h0.5s"),
        "startup_delay": ("2m3s", "1us", "-1s"),
    },
    "io.containerd.metadata.v1.bolt": {"content_sharing_policy": ("isolated", ""), "no_sync": (True, False)},
    "io.containerd.snapshotter.v1.overlayfs": {
        "root_path": ("/o", ""),
        "mount_options": ([], ["a", "b"], ["b", "c"]),
        "upperdir_label": (True, False),
    },
    "io.containerd.snapshotter.v1.native": {"root_path": ("/n", "")},
    "io.containerd.service.v1.diff-service": {"default": (["a"], [], ["walking", "a"]), "sync_fs": (True, False)},
    "io.containerd.internal.v1.opt": {"path": ("/o p't", "")},
    "io.containerd.shim.v1.manager": {"env": (["A=B"], []), "socket_dir": ("/s", "")},
    "io.containerd.runtime.v2.task": {"platforms": (["linux/arm64"], []), "sched_core": (True, False)},
    "io.containerd.nri.v1.nri": {
        "disable": (True, False),
        "plugin_request_timeout": ("90s", "0s"),
        "default_validator": ({"enable": True, "required_plugins": ["x"]}, {}),
    },
    "io.containerd.image-verifier.v1.bindir": {"max_verifiers": (-1, 0, 3), "per_verifier_timeout": ("1m", "3h")},
    "com.example.v1.unknown": {
        "number": (0, 1, -5),
        "text": ("", "x", "it's", "both' and \"", "new\nline", "tab\there", "é"),
        "list": ([], [1], [[1], [2]], ["a'b"]),
        "table": ({}, {"x": 1, "y": {"z": 0}}, {"x": 0}),
        "tables": ([{"a": 1}, {}], [{"b": {"c": 2}}]),
        "real": (0.0, 1e22, 0.1, -1.5e-7),
        "flag": (True, False),
    },
}
_CRI_OLD: Keys = {
    "sandbox_image": ("p:1", ""),
    "max_concurrent_downloads": (9, 0),
    "image_pull_progress_timeout": ("1m", ""),
    "image_pull_with_sync_fs": (True, False),
    "stats_collect_period": (3, 0),
    "registry": (
        {"config_path": "/c"},
        {"mirrors": {"docker.io": {"endpoint": ["https://m"]}}, "headers": {"X": ["y"]}},
        {"configs": {"h": {"auth": {"username": "u"}, "tls": {"ca_file": "f"}}}},
        {"auths": {"h": {"password": "p"}}},
    ),
    "image_decryption": ({"key_model": ""}, {"key_model": "k"}, {}),
    "disable_tcp_service": (True, False),
    "stream_server_address": ("", "1.2.3.4"),
    "stream_server_port": ("1", ""),
    "stream_idle_timeout": ("1h", ""),
    "enable_tls_streaming": (True, False),
    "x509_key_pair_streaming": ({"tls_cert_file": "c"}, {}),
    "enable_selinux": (True, False),
    "selinux_category_range": (5, 0),
    "max_container_log_line_size": (0, -1, 5),
    "systemd_cgroup": (True, False),
    "cdi_spec_dirs": ([], ["/a"]),
    "unset_seccomp_profile": ("x", ""),
    "ignore_deprecation_warnings": (["a"], []),
    "cni": ({"bin_dir": "/b"}, {"bin_dir": "/b", "conf_dir": "/c", "max_conf_num": 0}, {}, {"ip_pref": "cni"}),
    "containerd": (
        {},
        {"snapshotter": "native"},
        {"snapshotter": "native", "runtimes": {}},
        {"snapshotter": "native", "disable_snapshot_annotations": False, "default_runtime_name": "k"},
        {"discard_unpacked_layers": True, "runtimes": {"runc": {"options": {"SystemdCgroup": True}}}},
        {"runtimes": {"k": {"runtime_type": "io.containerd.kata.v2", "sandbox_mode": "shim", "options": {"B": 1}}}},
        {"runtimes": {"runc": {"runtime_type": "io.containerd.runc.v1", "pod_annotations": ["a*"]}}, "no_pivot": True},
        {"default_runtime": {"runtime_type": "x"}, "runtimes": {"u": {"privileged_without_host_devices": True}}},
    ),
}
_CRI_IMAGES: Keys = {
    "snapshotter": ("s", ""),
    "max_concurrent_downloads": (4, 0),
    "pinned_images": ({"sandbox": "q"}, {"other": "r"}, {}),
    "registry": _CRI_OLD["registry"],
    "runtime_platforms": ({"k": {"platform": "linux/arm64"}}, {}),
}
_CRI_RUNTIME: Keys = {
    "enable_cdi": (True, False),
    "cni": ({"bin_dirs": ["/x", "/y"]}, {"bin_dirs": []}, {"bin_dir": "/z"}),
    "containerd": (
        {"runtimes": {"k": {"runtime_type": "t", "snapshotter": "s", "options": {"A": "x"}}}},
        {"runtimes": {"runc": {"cgroup_writable": True}}},
        {"default_runtime_name": ""},
    ),
}
_SERVERS: dict[str, Keys] = {
    "io.containerd.server.v1.grpc": {"address": ("/g.sock",), "uid": (3, 0), "max_recv_message_size": (5,)},
    "io.containerd.server.v1.ttrpc": {"address": ("/t.sock", ""), "uid": (4, 0), "gid": (5, 0)},
    "io.containerd.server.v1.debug": {"address": ("/d.sock",), "gid": (6,)},
    "io.containerd.server.v1.metrics": {"address": (":9",)},
    "io.containerd.server.v1.grpc-tcp": {"address": (":8",), "tls_ca": ("a",)},
}
_OLD_SERVERS: dict[str, Keys] = {
    "grpc": {
        "address": ("/run/g.sock", ""),
        "uid": (1, 0),
        "gid": (2, 0),
        "tcp_address": ("", "1.1.1.1:1"),
        "tcp_tls_ca": ("ca", ""),
        "tcp_tls_cert": ("cert",),
        "max_recv_message_size": (0, 77),
        "max_send_message_size": (78,),
    },
    "ttrpc": {"address": ("/run/t.sock", ""), "uid": (3, 0), "gid": (4, 0)},
    "debug": {"address": ("/run/d.sock", ""), "uid": (5, 0), "gid": (6, 0), "level": ("debug", "")},
    "metrics": {"address": (":7", ""), "grpc_histogram": (True, False)},
}
_TOP: Keys = {
    "root": ("/r", ""),
    "state": ("/s", ""),
    "temp": ("/t", ""),
    "oom_score": (-999, 0, 5),
    "cgroup": ({"path": "/c"}, {}),
    "timeouts": ({"io.containerd.timeout.task.state": "9s"}, {"x": "1m"}, {}),
    "proxy_plugins": ({"stargz": {"type": "snapshot", "address": "/p.sock", "exports": {"a": "b"}}}, {}),
    "stream_processors": ({"own": {"accepts": ["a"], "returns": "b", "path": "p", "args": ["-x"]}}, {}),
}


class Variants:
    """Makes files of all versions."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - the same ones each time, on purpose

    def text(self, version: int, *, imports: tuple[str, ...] = ()) -> str:
        """A file of *version*; 0 writes none."""
        file: Table = {"version": version} if version else {}
        if imports:
            file["imports"] = list(imports)
        file |= self._some(_TOP, 0.3)
        file |= self._uris(version)
        file["plugins"] = self._plugins(version)
        for name, keys in _OLD_SERVERS.items():
            if version < 4 and self._maybe(0.4):
                file[name] = self._some(keys, 0.5)
        return dumps(file)

    def version(self) -> int:
        return self._random.choice((0, 1, 2, 2, 2, 3, 3, 4))

    def _plugins(self, version: int) -> Table:
        plugins = {name: self._some(keys, 0.5) for name, keys in _TYPED.items() if self._maybe(0.3)}
        if version < 2:
            plugins = {(name.rpartition(".")[2] if self._maybe(0.5) else name): it for name, it in plugins.items()}
        if version < 3 and self._maybe(0.7):
            plugins["cri" if version < 2 else "io.containerd.grpc.v1.cri"] = self._some(_CRI_OLD, 0.4)
        if version >= 3:
            plugins |= self._split_cri()
        if version == 4:
            plugins |= {name: self._some(keys, 0.6) for name, keys in _SERVERS.items() if self._maybe(0.3)}
        if version < 4 and self._maybe(0.2):
            plugins["io.containerd.internal.v1.restart"] = {"interval": "5s"}
        if version < 4 and self._maybe(0.2):
            plugins["io.containerd.monitor.v1.cgroups"] = {"no_prometheus": True}
        return plugins

    def _split_cri(self) -> Table:
        parts = {"io.containerd.cri.v1.images": _CRI_IMAGES, "io.containerd.cri.v1.runtime": _CRI_RUNTIME}
        found = {name: self._some(keys, 0.5) for name, keys in parts.items() if self._maybe(0.5)}
        if self._maybe(0.3):
            found["io.containerd.grpc.v1.cri"] = self._some(_CRI_OLD, 0.2)
        return found

    def _uris(self, version: int) -> Table:
        found: Table = {}
        for key in ("disabled_plugins", "required_plugins"):
            if self._maybe(0.3):
                names = self._random.sample(sorted(_TYPED), 2)
                found[key] = [self._random.choice(_SHORT) if version < 2 and self._maybe(0.5) else it for it in names]
        return found

    def _some(self, keys: Keys, part: float) -> Table:
        return {key: self._random.choice(values) for key, values in keys.items() if self._maybe(part)}

    def _maybe(self, part: float) -> bool:
        return self._random.random() < part
