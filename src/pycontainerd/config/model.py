"""The configuration of the daemon itself: what stands in config.toml outside of `[plugins]`."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from msgspec import field

from pycontainerd.config.section import Section
from pycontainerd.plugin import types

VERSION: Final = 4
DEFAULT_PATH: Final = "/etc/containerd/config.toml"
_DECODER: Final = "io.containerd.ocicrypt.decoder.v1.tar"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"


class Debug(Section, frozen=True, kw_only=True):
    """The log. The keys of the debug socket stood here before version 4."""

    hidden_when_empty: ClassVar[frozenset[str]] = frozenset({"address", "uid", "gid"})

    level: str = ""
    format: str = ""
    log_trace_id: bool = False
    address: str = ""
    uid: int = 0
    gid: int = 0


class Cgroup(Section, frozen=True, kw_only=True):
    """The cgroup that the daemon joins."""

    path: str = ""


class ProxyPlugin(Section, frozen=True, kw_only=True):
    """A plugin that another process serves over a socket."""

    type: str = ""
    address: str = ""
    platform: str = ""
    exports: dict[str, str] | None = None
    capabilities: tuple[str, ...] = ()


PROXY_TYPES: Final = {
    "snapshot": types.SNAPSHOTTER,
    "content": types.CONTENT,
    "diff": types.DIFFER,
    "sandbox": types.SANDBOX_CONTROLLER,
    **{type_: type_ for type_ in (types.SNAPSHOTTER, types.CONTENT, types.DIFFER, types.SANDBOX_CONTROLLER)},
}
"""What a proxy plugin may be, by the short and the full name."""


class Processor(Section, frozen=True, kw_only=True):
    """A program that turns layers of some media types into another."""

    accepts: tuple[str, ...] = ()
    returns: str = ""
    path: str = ""
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()


class Grpc(Section, frozen=True, kw_only=True):
    """The main socket, as it was configured before version 4."""

    hidden_when_empty: ClassVar[frozenset[str]] = frozenset(
        {
            "address",
            "tcp_address",
            "tcp_tls_ca",
            "tcp_tls_cert",
            "tcp_tls_key",
            "tcp_tls_common_name",
            "uid",
            "gid",
            "max_recv_message_size",
            "max_send_message_size",
        }
    )

    address: str = ""
    tcp_address: str = ""
    tcp_tls_ca: str = ""
    tcp_tls_cert: str = ""
    tcp_tls_key: str = ""
    tcp_tls_common_name: str = ""
    uid: int = 0
    gid: int = 0
    max_recv_message_size: int = 0
    max_send_message_size: int = 0


class Ttrpc(Section, frozen=True, kw_only=True):
    """The socket for shims, as it was configured before version 4."""

    hidden_when_empty: ClassVar[frozenset[str]] = frozenset({"address", "uid", "gid"})

    address: str = ""
    uid: int = 0
    gid: int = 0


class Metrics(Section, frozen=True, kw_only=True):
    """The metrics server, as it was configured before version 4."""

    hidden_when_empty: ClassVar[frozenset[str]] = frozenset({"address", "grpc_histogram"})

    address: str = ""
    grpc_histogram: bool = False


def _timeouts() -> dict[str, str]:
    return {
        f"io.containerd.timeout.{name}": value
        for name, value in (
            ("bolt.open", "0s"),
            ("cri.defercleanup", "1m0s"),
            ("metrics.shimstats", "2s"),
            ("shim.cleanup", "5s"),
            ("shim.load", "5s"),
            ("shim.shutdown", "3s"),
            ("task.state", "2s"),
        )
    }


def _processors() -> dict[str, Processor]:
    return {
        _DECODER + suffix: Processor(
            accepts=(f"{_LAYER}{kind}+encrypted",),
            returns=f"{_LAYER}{kind}",
            path="ctd-decoder",
            args=("--decryption-keys-path", "/etc/containerd/ocicrypt/keys"),
            env=("OCICRYPT_KEYPROVIDER_CONFIG=/etc/containerd/ocicrypt/ocicrypt_keyprovider.conf",),
        )
        for suffix, kind in (("", ""), (".gzip", "+gzip"))
    }


class File(Section, frozen=True, kw_only=True):
    """A file as it is written; what it leaves out is empty."""

    hidden_when_empty: ClassVar[frozenset[str]] = frozenset({"proxy_plugins", "grpc", "ttrpc", "metrics"})

    version: int = 0
    root: str = ""
    state: str = ""
    temp: str = ""
    disabled_plugins: tuple[str, ...] = ()
    required_plugins: tuple[str, ...] = ()
    oom_score: int = 0
    imports: tuple[str, ...] = ()
    debug: Debug = Debug()
    plugins: dict[str, dict[str, Any]] = field(default_factory=dict)
    cgroup: Cgroup = Cgroup()
    proxy_plugins: dict[str, ProxyPlugin] = field(default_factory=dict)
    timeouts: dict[str, str] = field(default_factory=dict)
    stream_processors: dict[str, Processor] = field(default_factory=dict)
    grpc: Grpc = Grpc()
    ttrpc: Ttrpc = Ttrpc()
    metrics: Metrics = Metrics()


def defaults() -> File:
    """What holds where no file says otherwise."""
    return File(
        version=VERSION,
        root="/var/lib/containerd",
        state="/run/containerd",
        imports=("/etc/containerd/conf.d/*.toml",),
        timeouts=_timeouts(),
        stream_processors=_processors(),
    )
